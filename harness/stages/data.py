"""Stage data: a subject's images and responses, checked, in id order, perhaps a named subset.

What a benchmark generates is kept in the store and read back memory-mapped; what a benchmark reads
from a user's files stays there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import CeilingSource, Responses, Split, Stimuli, SubjectData, VoxelSpace
from ..errors import ConfigError, suggest
from ..notices import Flag, hearing_warnings
from ..plugins import PluginRef
from ..seeds import subset
from ..storage.identity import code_sha, module_sha, named_files
from ..storage.references import FileReader
from ..storage.store import Artifact, Store, save_array, save_json
from .checks import check_subject
from .guard import guarded

logger = logging.getLogger(__name__)


FIRST = 5
"""Missing images that are named."""


@dataclass(frozen=True)
class Subset:
    """A named part of the test images.

    missing : how many were left out because they have no reconstruction; first_missing : ids of some.
    """

    name: str
    sha: str
    missing: int = 0
    first_missing: tuple[str, ...] = ()


def load_subject(
    benchmark: Any,
    subject: str | None,
    *,
    ref: PluginRef,
    store: Store,
    limit: int | None = None,
    present: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> tuple[SubjectData, Subset | None, list[Flag]]:
    """Load, check and order one subject; test images sorted by id, at most `limit` of them; and what
    was warned of, whether now or when a generated subject was made.

    present : ids of test images -> those of them that have a reconstruction; only these are kept.
    """
    known = guarded(ref, "cannot name its subjects", lambda: tuple(benchmark.subjects()))
    subject = subject or known[0]
    if subject not in known:
        raise ConfigError(suggest(subject, known, what=f"subject of benchmark '{ref.name}'"))

    def read() -> SubjectData:
        return guarded(ref, f"cannot load {subject}", lambda: benchmark.load(subject))

    def heard() -> AbstractContextManager[list[Flag]]:
        return hearing_warnings("data-warning", plugin=type(benchmark).__module__)

    def make(folder: Path) -> None:
        with heard() as flags:
            write_subject(read(), folder)
        save_json(folder, "warned", [asdict(flag) for flag in flags])

    if benchmark.generated:
        identity = data_identity(ref, benchmark.params, subject)
        artifact = store.get("data", identity, make)
        data = read_subject(artifact)
        flags = [Flag(**flag) for flag in artifact.json("warned")]
    else:
        with heard() as flags:
            data = read()
    with heard() as more:
        check_subject(data)
    ids = tuple(sorted(data.test.stimuli.ids))
    names, missing = [], []
    if limit is not None and limit < len(ids):
        ids = subset(ids, limit)
        names.append(f"limit-{limit}")
    if present is not None:
        there = set(present(ids))
        missing = [name for name in ids if name not in there]
        ids = tuple(name for name in ids if name in there)
    if missing:
        names.append(f"present-{len(ids)}")
    sha = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    named = Subset("-".join(names), sha, len(missing), tuple(missing[:FIRST])) if names else None
    return _select_test(data, ids), named, [*flags, *more]


def data_identity(ref: PluginRef, params: Any, subject: str) -> dict[str, Any]:
    """Ingredients of a generated subject; one file may define several benchmarks."""
    base = getattr(params, "base_dir", "")
    files = named_files(params, base=Path(base) if base else None)
    files.pop(".base_dir", None)
    return {
        "benchmark": ref.target,
        "code": code_sha(ref),
        "params": params,
        "files": files,
        "subject": subject,
        "stage": module_sha(__name__),
    }


def _select_test(data: SubjectData, ids: tuple[str, ...]) -> SubjectData:
    def chosen(responses: Responses | None) -> Responses | None:
        return None if responses is None else responses.select(ids)

    return replace(
        data, test=data.test.select(ids), truth=chosen(data.truth), remeasured=chosen(data.remeasured)
    )


def write_subject(data: SubjectData, folder: Path) -> None:
    """Write everything of `data` as plain arrays and JSON."""
    space = data.space
    optional = {"ncsnr": space.ncsnr, "coordinates": space.coordinates, "valid": space.valid}
    for name, array in optional.items():
        if array is not None:
            save_array(folder, f"space_{name}", array)
    for table in ("rois", "groups"):
        for number, members in enumerate(getattr(space, table).values()):
            save_array(folder, f"space_{table}_{number}", members)
    meta: dict[str, Any] = {
        "space": {
            n: getattr(space, n) for n in ("dataset", "subject", "mask", "n_voxels", "units", "voxels_sha")
        },
        "rois": list(space.rois),
        "groups": list(space.groups),
        "ncsnr_source": None if space.ncsnr_source is None else asdict(space.ncsnr_source),
        "sets": {},
    }
    for name, split in (("train", data.train), ("test", data.test)):
        _write_stimuli(split.stimuli, folder, name, meta["sets"])
        _write_responses(split.responses, folder, name)
    for name in ("truth", "remeasured"):
        if getattr(data, name) is not None:
            _write_responses(getattr(data, name), folder, name)
    save_json(folder, "subject", meta)


def read_subject(artifact: Artifact) -> SubjectData:
    """The inverse of :func:`write_subject`, memory-mapped."""
    meta = artifact.json("subject")

    def optional(name: str) -> np.ndarray | None:
        return np.array(artifact.array(name)) if artifact.has(f"{name}.npy") else None

    tables = {
        table: {name: np.array(artifact.array(f"space_{table}_{k}")) for k, name in enumerate(meta[table])}
        for table in ("rois", "groups")
    }
    space = VoxelSpace(
        **meta["space"],
        **tables,
        ncsnr=optional("space_ncsnr"),
        coordinates=optional("space_coordinates"),
        valid=optional("space_valid"),
        ncsnr_source=None if (given := meta["ncsnr_source"]) is None else CeilingSource(**given),
    )
    splits = {}
    for name in ("train", "test"):
        stimuli = _read_stimuli(artifact, name, meta["sets"][name])
        splits[name] = Split(stimuli, _read_responses(artifact, name, space, stimuli.ids))
    extra = {
        name: _read_responses(artifact, name, space, splits["test"].stimuli.ids)
        for name in ("truth", "remeasured")
        if artifact.has(f"{name}_responses.npy")
    }
    return SubjectData(space, splits["train"], splits["test"], **extra)


def _write_stimuli(stimuli: Stimuli, folder: Path, name: str, sets: dict[str, Any]) -> None:
    save_array(folder, f"{name}_images", stimuli.images())
    sets[name] = {
        "ids": stimuli.ids,
        "captions": stimuli.references,
        "hashes": stimuli.image_hashes(),
        "labels": list(stimuli.labels),
    }
    for number, values in enumerate(stimuli.labels.values()):
        save_array(folder, f"{name}_label_{number}", values)


def _read_stimuli(artifact: Artifact, name: str, known: dict[str, Any]) -> Stimuli:
    labels = {label: np.array(artifact.array(f"{name}_label_{k}")) for k, label in enumerate(known["labels"])}
    return Stimuli(
        known["ids"],
        FileReader(str(artifact.folder / f"{name}_images.npy")),
        captions=known["captions"],
        hashes=known["hashes"],
        labels=labels,
    )


def _write_responses(responses: Responses, folder: Path, name: str) -> None:
    save_array(folder, f"{name}_responses", np.asarray(responses.data[:], np.float32))
    save_array(folder, f"{name}_image_index", responses.image_index)
    save_array(folder, f"{name}_session", responses.session)
    save_json(folder, f"{name}_sha", responses.data_sha())


def _read_responses(artifact: Artifact, name: str, space: VoxelSpace, ids: tuple[str, ...]) -> Responses:
    return Responses(
        space,
        ids,
        artifact.array(f"{name}_responses"),
        artifact.array(f"{name}_image_index", mmap=False),
        session=artifact.array(f"{name}_session", mmap=False),
        sha=artifact.json(f"{name}_sha"),
    )
