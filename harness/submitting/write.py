"""The folder of a submission: a run's tables and record, cards, and what its values are checked by.

=====================  =====================================================================================
``run.json``           the run's record, without the command and where files lay
``*.parquet``          the run's tables: one value per image, per voxel, per region
``*.csv``              what is derived of them: means, intervals, differences, tests
``reconstructions.npz``  decoded images of a sample of test images, chosen by the hash of the tables
``predictions.npz``    predicted responses of a sample of voxels, chosen in the same way
``CARDS.md``           who made the encoder, decoder and benchmark, and what they were trained on
``submission.json``    the same for machines, and the hash of every file
=====================  =====================================================================================

Stimuli and measured responses are in none of them: a row whose decoder shows stimuli is left out, by their
content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from .. import __version__
from ..data import ImageSet
from ..errors import ConfigError, DataError
from ..progress import Reporter
from ..results import RunResult
from ..run.gallery import npz_content
from ..run.plan import Plan
from ..storage.disk import write_folder
from ..storage.store import Store
from .cards import KINDS, cards_of, public_params
from .document import FILE, Card, SubmissionRecord
from .remade import Finished, finished

TABLES = ("scores", "voxel_scores", "set_scores", "region_scores", "region_contributions")
CHOOSING = TABLES[:2]
"""Those of one value per image and voxel, whose hash chooses what is looked at."""

PREDICTIONS, RECONSTRUCTIONS, CARDS = "predictions.npz", "reconstructions.npz", "CARDS.md"
ROOM = 64 << 20
"""Bytes of images of a row, and of predictions, before they are packed."""


def write_submission(
    run: RunResult,
    folder: Path,
    derived: Mapping[str, bytes],
    *,
    plan: Plan | None,
    why_not: str,
    store: Store,
    reporter: Reporter,
    images: bool = True,
) -> SubmissionRecord:
    """Write the submission of `run` into `folder`, whole or not at all, and give what it says of itself.

    derived : name of a table -> CSV made of the run.  plan : of the run, by which images are had; without it
    none are, because of `why_not`.

    Raises
    ------
    DataError
        A table of the run is not what the run wrote.
    ConfigError
        `folder` is there and holds something else.
    """
    _check_target(folder)
    files = _tables(run)
    left_out = {}
    if plan is None:
        left_out |= {RECONSTRUCTIONS: why_not, PREDICTIONS: why_not}
    elif images:
        more, left_out = _samples(run, plan, files, store=store, reporter=reporter)
        files |= more
    else:
        left_out |= dict.fromkeys((RECONSTRUCTIONS, PREDICTIONS), "left out as asked for (--no-images)")
    files["run.json"] = _public_record(run, files)
    files |= {f"{name}.csv": content for name, content in derived.items()}
    cards = cards_of(run.record, plan)
    files[CARDS] = cards_page(cards).encode()
    record = SubmissionRecord(
        harness_version=__version__,
        run=run.record.run,
        identity=run.record.identity,
        cards=cards,
        files={name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
        left_out=left_out,
    )
    files[FILE] = (json.dumps(record.model_dump(), indent=1, allow_nan=False) + "\n").encode()
    write_folder(folder, files)
    return record


def chosen(names: Sequence[str], count: int, *, tables_sha: str) -> tuple[str, ...]:
    """`count` of `names` by a hash that the tables enter, so that nobody chooses what is looked at."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{tables_sha}|{name}".encode()).hexdigest())
    return tuple(sorted(order[:count]))


def tables_sha(files: Mapping[str, bytes]) -> str:
    """Hash of the tables of :data:`CHOOSING`."""
    return hashlib.sha256(b"".join(files[f"{name}.parquet"] for name in CHOOSING)).hexdigest()


def _check_target(folder: Path) -> None:
    if folder.exists() and not (folder / FILE).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} holds something else than a submission; give -o another folder")


def _tables(run: RunResult) -> dict[str, bytes]:
    """The run's tables, which must be those that it wrote."""
    files = {}
    for name in (f"{table}.parquet" for table in TABLES):
        file = run.folder / name
        content = file.read_bytes() if file.is_file() else b""
        if hashlib.sha256(content).hexdigest() != run.record.files_sha.get(name):
            raise DataError(
                f"{file} is not what the run wrote (see files_sha in run.json); type the command of that run "
                "again"
            )
        files[name] = content
    return files


def _samples(
    run: RunResult, plan: Plan, files: Mapping[str, bytes], *, store: Store, reporter: Reporter
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Files of reconstructions and predictions, and what was left out and why."""
    seed = tables_sha(files)

    def pick(images: ImageSet) -> Sequence[str]:
        size = images.images(images.ids[:1]).nbytes
        return chosen(images.ids, max(1, ROOM // size), tables_sha=seed)

    outcome = finished(plan, store, reporter=reporter, pick=pick)
    content: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    kept = dict(_without_stimuli(outcome, left_out))
    if kept:
        arrays = {f"ids/{row}": np.array(images.ids) for row, images in kept.items()}
        arrays |= {f"images/{row}": np.asarray(images.images()) for row, images in kept.items()}
        content[RECONSTRUCTIONS] = npz_content(arrays)
    elif not outcome.images:
        left_out[RECONSTRUCTIONS] = "the run has no decoder"
    if outcome.predicted is None:
        left_out[PREDICTIONS] = "the run has no encoder"
    else:
        valid = np.flatnonzero(outcome.data.space.valid)
        count = max(1, ROOM // (8 * len(outcome.predicted)))
        voxels = np.array(sorted(map(int, chosen([str(v) for v in valid], count, tables_sha=seed))))
        content[PREDICTIONS] = npz_content(
            {
                "ids": np.array(outcome.data.test.stimuli.ids),
                "voxels": voxels,
                "predictions": outcome.predicted[:, voxels],
            }
        )
    return content, left_out


def _without_stimuli(outcome: Finished, left_out: dict[str, str]) -> Iterator[tuple[str, ImageSet]]:
    data = outcome.data
    stimuli = {sha for split in (data.train, data.test) for sha in split.stimuli.image_hashes()}
    for row, images in outcome.images.items():
        if shown := stimuli.intersection(images.image_hashes()):
            left_out[row] = f"{len(shown)} of its images are stimuli"
        else:
            yield row, images


def _public_record(run: RunResult, files: Mapping[str, bytes]) -> bytes:
    info = {key: value for key, value in run.info.items() if key not in ("command", "gallery_rule")}
    for kind in KINDS:
        if isinstance(info.get(kind), dict):
            info[kind] = info[kind] | {"params": public_params(info[kind].get("params", {}))}
    info["files_sha"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return json.dumps(info, indent=1, allow_nan=False).encode()


def cards_page(cards: Sequence[Card]) -> str:
    """The cards as Markdown; what plugins say stands in code blocks, so that markup in it stays text."""
    parts = ["# Who made what\n"]
    for card in cards:
        lines = json.dumps(card.model_dump(exclude={"kind"}), indent=1, ensure_ascii=True).splitlines()
        parts.append(f"## {card.kind}\n\n" + "\n".join(f"    {line}" for line in lines) + "\n")
    return "\n".join(parts)
