"""What a leaderboard needs of a run's tables: one value of each image for each row and score, in one pass.

Hundreds of runs of a million values are read one after another, text as codes; what is kept of a run are the
values of its images.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.results import RunResult

from ..values import readable

STIMULUS, MEASURED, RESPONSES = "stimulus", "measured", "responses"
TARGETS = (STIMULUS, MEASURED, RESPONSES)
"""What a leaderboard shows scores against; others are in the runs' own reports."""

_COLUMNS = ("row", "target", "image_id", "metric", "pool", "value", "rivalry")

Key = tuple[str, str, str]
"""Row, target and metric@version."""


@dataclass(frozen=True)
class ImageScores:
    """One score of one row.

    ids : the images.  values : (N,) means over trials and samples, NaN: not scored.  rivalry : (N,), or None
    where there are no rivals.  value : the score itself, where it is no mean over images and `values` holds
    what images contribute to it; else None.  pool : hash of the images that it depends on, or ``""``.
    """

    ids: tuple[str, ...]
    values: np.ndarray
    rivalry: np.ndarray | None
    value: float | None
    pool: str


Shared = dict[tuple[str, ...], tuple[str, ...]]
"""Ids that several runs have, each once."""


def read_scores(run: RunResult, rows: Collection[str], shared: Shared) -> dict[Key, ImageScores]:
    """Scores of `rows` against :data:`TARGETS`; of voxel scores those over all voxels, by contributions.

    shared : ids that runs before this one have, and then its own.

    Raises
    ------
    DataError
        A table is missing or damaged.
    """
    with readable(run, "scores"):
        scores = _image_scores(run.columns("scores", _COLUMNS), rows, shared)
    if (run.folder / "region_contributions.parquet").is_file():
        with readable(run, "region_contributions"):
            names = ("row", "metric", "kind", "pool", "value", "contributions", "image_ids")
            table = run.columns("region_contributions", names, kind="all")
            scores |= _contributed(table, rows, shared)
    return scores


def _image_scores(table: Any, rows: Collection[str], shared: Shared) -> dict[Key, ImageScores]:
    (row, row_names), (target, target_names), (metric, metric_names), (image, ids), (pool, pools) = (
        _coded(table, name) for name in ("row", "target", "metric", "image_id", "pool")
    )
    value = table["value"].to_numpy().astype(np.float64, copy=False)
    has_rivals = "rivalry" in table.column_names
    rivalry = table["rivalry"].to_numpy().astype(np.float64, copy=False) if has_rivals else None
    wanted = np.isin(row, [k for k, name in enumerate(row_names) if name in rows])
    wanted &= np.isin(target, [k for k, name in enumerate(target_names) if name in TARGETS])
    order = np.argsort(ids, kind="stable")  # images in the order of their ids
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids))
    ids = [ids[k] for k in order]
    group = (row * len(target_names) + target) * len(metric_names) + metric
    groups, group = np.unique(group[wanted], return_inverse=True)
    cell = group * len(ids) + place[image[wanted]]
    shape = (len(groups), len(ids))
    means = _means(cell, value[wanted], shape)
    others = None if rivalry is None else _means(cell, rivalry[wanted], shape)
    present = np.bincount(cell, minlength=len(groups) * len(ids)).reshape(shape) > 0
    first = np.zeros(len(groups), np.int64)
    first[group[::-1]] = pool[wanted][::-1]
    of_pattern: dict[bytes, tuple[str, ...]] = {}
    scores = {}
    for k, code in enumerate(groups):
        at, name = divmod(int(code), len(metric_names))
        of_row, of_target = divmod(at, len(target_names))
        if (pattern := present[k].tobytes()) not in of_pattern:
            own = tuple(itertools.compress(ids, present[k]))
            of_pattern[pattern] = shared.setdefault(own, own)
        against = None if others is None else others[k, present[k]]
        key = (row_names[of_row], target_names[of_target], metric_names[name])
        scores[key] = ImageScores(
            of_pattern[pattern],
            means[k, present[k]],
            None if against is None or not against.any() else against,
            None,
            pools[first[k]],
        )
    return scores


def _contributed(table: Any, rows: Collection[str], shared: Shared) -> dict[Key, ImageScores]:
    scores = {}
    for line in table.to_pylist():
        if line["row"] in rows:
            ids = tuple(line["image_ids"])
            parts = np.array(line["contributions"], np.float64)
            order = np.argsort(ids, kind="stable")
            key = (line["row"], RESPONSES, line["metric"])
            own = tuple(ids[k] for k in order)
            own = shared.setdefault(own, own)
            scores[key] = ImageScores(own, parts[order], None, float(line["value"]), line["pool"])
    return scores


def _coded(table: Any, name: str) -> tuple[np.ndarray, list[str]]:
    """Codes (lines,) of the text column `name`, and the texts that they stand for."""
    column = table[name].unify_dictionaries().combine_chunks()
    chunk = column.chunk(0) if hasattr(column, "chunk") else column
    return chunk.indices.to_numpy().astype(np.int64), chunk.dictionary.to_pylist()


def _means(cell: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Means of `values` by `cell`, a position in `shape`, over what is not NaN; NaN where nothing is."""
    size = shape[0] * shape[1]
    present = np.isfinite(values)
    counts = np.bincount(cell[present], minlength=size)
    totals = np.bincount(cell[present], weights=values[present], minlength=size)
    return np.divide(totals, counts, out=np.full(size, np.nan), where=counts > 0).reshape(shape)
