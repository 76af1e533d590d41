"""A submission against the benchmark's own data: facts of the record, and a sample of values anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import SubjectData
from ..errors import DataError
from ..published import base_name
from ..reading.plain_files import npz_arrays
from ..results import RunResult
from ..run.plan import requested_benchmark
from ..run.record import data_facts
from ..run_record import RunRecord
from ..settings import Request, read_request
from ..stages.data import load_subject
from ..stages.model import Configured
from ..storage.executors import Inline
from ..storage.store import Store
from .cards import installed
from .findings import Findings
from .independent import WITHIN, Again, of_images, of_responses
from .write import CHOOSING, PREDICTIONS, RECONSTRUCTIONS, chosen, tables_sha

FACTS = "what the record says of the data"
CHOICE = "which images and voxels are there, by the hash of the tables"
IMAGES = "scores of images by scikit-image and numpy"
RESPONSES = "scores of responses by numpy"


def subject_data(
    run: RunResult, *, benchmark: str | None, assignments: Sequence[str], store: Store
) -> tuple[SubjectData | None, str]:
    """The data of the scored subject, or in a sentence why they are not at hand.

    benchmark, assignments : as they are typed; without them the run's own benchmark, if it is generated.
    """
    record = run.record
    if benchmark is not None or assignments:
        request = read_request(None, assignments, plugins={"benchmark": benchmark or record.benchmark.name})
    elif (ref := installed("benchmark", record.benchmark)) is None:
        return (
            None,
            f"benchmark '{record.benchmark.name}' is not installed in version {record.benchmark.version}",
        )
    elif not ref.load().generated:
        return None, f"benchmark '{ref.name}' reads files; say where: --set benchmark.KEY=VALUE"
    else:
        values = {"benchmark": dict(record.benchmark.params)}
        request = Request(benchmark=f"{ref.dist}:{ref.name}", values=values)
    ref, params = requested_benchmark(request)
    limit = record.settings.get("limit")
    data, _, _ = load_subject(
        Configured(ref, params),
        record.subject,
        store=store,
        executor=Inline(),
        limit=limit if isinstance(limit, int) else None,
        present=_scored(run) if record.subset is not None and record.subset.missing else None,
    )
    return data, ""


def _scored(run: RunResult) -> Callable[[Sequence[str]], Sequence[str]]:
    """Ids of test images -> those of them that the run has scores of."""
    ids = set(run.scores["image_id"])
    return lambda names: [name for name in names if name in ids]


def check_facts(run: RunResult, data: SubjectData, findings: Findings) -> None:
    """Everything in the record that follows from the data."""
    facts = RunRecord(**data_facts(data)).content()
    for name, value in facts.items():
        findings.compare_tree(FACTS, f"run.json: {name}", run.info.get(name), value)


def check_images(run: RunResult, data: SubjectData, findings: Findings, *, sample: int) -> None:
    """`sample` images of each row in ``reconstructions.npz``, against the stimuli and the measured row."""
    file = run.folder / RECONSTRUCTIONS
    if not file.is_file():
        findings.not_checked.append("scores of images: no reconstructions in the folder")
        return
    arrays = read_arrays(file)
    rows = [name.partition("/")[2] for name in arrays if name.startswith("images/")]
    images: dict[str, dict[str, np.ndarray]] = {}
    seed = _seed(run)
    for row in rows:
        ids, pixels = [str(name) for name in arrays[f"ids/{row}"]], arrays[f"images/{row}"]
        if len(ids) != len(pixels) or pixels.ndim != 4 or not set(ids) <= set(data.test.stimuli.ids):
            raise DataError(
                f"{file}: row '{row}' has {len(ids)} ids for {pixels.shape} images of the test set"
            )
        images[row] = dict(zip(ids, pixels))
        where = f"{RECONSTRUCTIONS}: images of row '{row}'"
        _check_choice(seed, where, ids, data.test.stimuli.ids, findings)
    for row, of_row in images.items():
        looked_at = dict(list(of_row.items())[:sample])
        stimuli = dict(zip(looked_at, data.test.stimuli.images(tuple(looked_at))))
        _compare_images(run, row, "stimulus", of_images(looked_at, stimuli, _metrics(run)), findings)
        if row != "measured" and "measured" in images and set(looked_at) <= set(images["measured"]):
            again = of_images(looked_at, images["measured"], _metrics(run, target="measured"))
            _compare_images(run, row, "measured", again, findings)


def check_responses(run: RunResult, data: SubjectData, findings: Findings) -> None:
    """Every voxel in ``predictions.npz``."""
    file = run.folder / PREDICTIONS
    if not file.is_file():
        findings.not_checked.append("scores of responses: no predictions in the folder")
        return
    arrays = read_arrays(file)
    ids, voxels = tuple(str(name) for name in arrays["ids"]), arrays["voxels"]
    predicted = arrays["predictions"]
    if predicted.shape != (len(ids), len(voxels)) or not set(ids) <= set(data.test.stimuli.ids):
        raise DataError(
            f"{file}: predictions have shape {predicted.shape} for {len(ids)} ids, {len(voxels)} voxels"
        )
    valid = [str(voxel) for voxel in np.flatnonzero(data.space.valid)]
    _check_choice(_seed(run), f"{PREDICTIONS}: voxels", [str(voxel) for voxel in voxels], valid, findings)
    measured = data.test.responses.select(ids).mean()[:, voxels]
    baseline = data.train.responses.mean()[:, voxels].mean(axis=0, dtype=np.float64)
    tables = {
        "voxel": run.voxel_scores[run.voxel_scores["row"] == "predicted"],
        "image_id": run.scores[(run.scores["row"] == "predicted") & (run.scores["target"] == "responses")],
    }
    given = {
        (base_name(metric), item): value
        for column, table in tables.items()
        for metric, item, value in zip(table["metric"], table[column], table["value"].astype(float))
    }
    whole = len(voxels) == data.space.n_valid
    again_of = of_responses(
        predicted, measured, voxels, ids, _metrics(run), baseline=baseline if whole else None
    )
    for again in again_of:
        if (value := given.get((again.metric, again.item))) is not None:
            name = "voxel" if isinstance(again.item, int) else "image"
            where = f"row 'predicted', {again.metric}, {name} '{again.item}'"
            _compare(RESPONSES, where, value, again, findings)


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` file of a submission; nothing in it is executed."""
    try:
        return npz_arrays(file)
    except DataError as problem:
        raise DataError(f"{problem}; submit the run again") from None


def _seed(run: RunResult) -> str:
    """What the choice of images and voxels hangs on."""
    return tables_sha({f"{name}.parquet": (run.folder / f"{name}.parquet").read_bytes() for name in CHOOSING})


def _check_choice(seed: str, where: str, names: Sequence[str], of: Sequence[str], findings: Findings) -> None:
    """Whoever submits does not choose what is looked at."""
    wanted = chosen(of, len(names), tables_sha=seed)
    findings.compare(CHOICE, where, sorted(names), sorted(wanted))


def _compare_images(run: RunResult, row: str, target: str, values: Any, findings: Findings) -> None:
    scores = run.scores
    table = scores[(scores["row"] == row) & (scores["target"] == target) & (scores["trial"] == -1)]
    table = table[table["sample"] == 0]
    given = {
        (base_name(metric), name): value
        for metric, name, value in zip(table["metric"], table["image_id"], table["value"].astype(float))
    }
    for again in values:
        if (value := given.get((again.metric, again.item))) is not None:
            where = f"scores.parquet: row '{row}', target '{target}', {again.metric}, image '{again.item}'"
            _compare(IMAGES, where, value, again, findings)


def _compare(what: str, where: str, given: float, again: Again, findings: Findings) -> None:
    if np.isnan(given) and again.value == 0:  # no variance: the harness gives no value to a voxel
        given = 0.0
    findings.compare(what, where, float(given), float(again.value), within=WITHIN[again.metric])


def _metrics(run: RunResult, target: str = "") -> frozenset[str]:
    """Metrics of the run, without versions, that score against `target`."""
    return frozenset(
        base_name(metric.name)
        for metric in run.record.metrics
        if metric.name.endswith("@1") and (not target or target in metric.targets)
    )
