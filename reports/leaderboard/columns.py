"""The scores of a board as columns: which there are, what each means, and which are shown first.

A score is a column of its own for every version and every definition that runs have of it (its network,
chance, direction), and where it depends on a pool of images, for every pool: what is not the same is not
below the same heading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.results import MetricRecord, RunResult

from ..answer import FIELD, in_field
from ..comparable import DEFINITION
from ..layout import MetricInfo, is_agreement, ordered_metrics
from .boards import Board, Entry
from .reading import MEASURED, RESPONSES, STIMULUS, ImageScores, Key

LEVELS: Mapping[str, str] = {
    "low": "low level",
    "high": "high level",
    "retrieval": "retrieval by the decoder's embedding",
    "captions": "captions",
    "agreement": "agreement with the measured reconstructions",
    "responses": "responses, before any decoder",
}
"""Group of columns -> heading, in the order in which they are shown."""

LOW_NETWORKS = ("pixels", "alexnet")
"""Networks whose features are near the picture itself: published tables count them as low level."""

MAIN_RESPONSES = ("voxel-r",)


@dataclass(frozen=True)
class Column:
    """A score as a column.

    target : what is scored against.  level : a key of :data:`LEVELS`.  main : shown first.
    definition : values of :data:`harness.reports.comparable.DEFINITION`.  pools : subject -> hash of the
    images that it depends on.  other : in what it is not the first column of this name, or ``""``.
    """

    metric: MetricInfo
    target: str
    level: str
    main: bool
    definition: tuple[object, ...]
    pools: Mapping[str, str]
    other: str = ""

    @property
    def heading(self) -> str:
        """Its label, with the version from the second on and what else tells it apart."""
        version = self.metric.name.rpartition("@")[2]
        later = f" @{version}" if version not in ("", "1") else ""
        return f"{self.metric.label}{later}{f' ({self.other})' if self.other else ''}"

    def of(self, run: RunResult, row: str, scores: Mapping[Key, ImageScores]) -> ImageScores | None:
        """This score of a row of `run`, or None where the run has another or none."""
        scored = scores.get((row, self.target, self.metric.name))
        if scored is None or _definition(run, self.metric.name) != self.definition:
            return None
        return scored if self.pools.get(run.record.subject, scored.pool) == scored.pool else None


def find_columns(
    board: Board, scores: Mapping[tuple[int, str], Mapping[Key, ImageScores]]
) -> tuple[Column, ...]:
    """Columns of `board` in the order of :data:`LEVELS` and of the runs' records.

    scores : those of every run and row of it, by the run's ``id`` and the row.
    """
    described: dict[str, MetricRecord] = {}
    variants: dict[tuple[str, str], list[tuple[tuple[object, ...], dict[str, str]]]] = {}
    order: dict[str, MetricInfo] = {}
    for entry in board.entries:
        for run in entry.runs:
            own = scores[id(run), entry.row.name]
            records = {metric.name: metric for metric in run.record.metrics}
            names = [name for row, _, name in own if row == entry.row.name]
            for info in ordered_metrics(run, names):
                order.setdefault(info.name, info)
                described.setdefault(info.name, records.get(info.name, MetricRecord()))
            for (row, target, name), scored in own.items():
                if row == entry.row.name and _shown(order[name], target):
                    _note(variants.setdefault((target, name), []), run, name, scored.pool)
    columns = []
    for name, info in order.items():
        for target in (STIMULUS, MEASURED, RESPONSES):
            for k, (definition, pools) in enumerate(variants.get((target, name), [])):
                first = variants[target, name][0][0]
                other = "" if not k else _other(definition, first)
                level = _level(described[name], info, target)
                columns.append(Column(info, target, level, False, definition, pools, other))
    levels = list(LEVELS)
    columns.sort(key=lambda column: levels.index(column.level))
    main = _main(columns)
    return tuple(replace(column, main=k in main) for k, column in enumerate(columns))


def read_rows(entries: Sequence[Entry]) -> dict[int, tuple[RunResult, list[str]]]:
    """Runs by their ``id``, each with the rows that some line of it shows."""
    rows: dict[int, tuple[RunResult, list[str]]] = {}
    for entry in entries:
        for run in entry.runs:
            names = rows.setdefault(id(run), (run, []))[1]
            if entry.row.name not in names:
                names.append(entry.row.name)
    return rows


def _note(
    variants: list[tuple[tuple[object, ...], dict[str, str]]], run: RunResult, name: str, pool: str
) -> None:
    definition, subject = _definition(run, name), run.record.subject
    for other, pools in variants:
        if other == definition and pools.get(subject, pool) == pool:
            pools.setdefault(subject, pool)
            return
    variants.append((definition, {subject: pool}))


def _definition(run: RunResult, name: str) -> tuple[object, ...]:
    given = next((metric for metric in run.record.metrics if metric.name == name), MetricRecord())
    return tuple(getattr(given, key) for key in DEFINITION)


def _other(definition: tuple[object, ...], first: tuple[object, ...]) -> str:
    changed = [
        f"{key} {own}"
        for key, own, theirs in zip(DEFINITION, definition, first, strict=True)
        if own != theirs
    ]
    return ", ".join(changed) or "another pool of images"


def _shown(info: MetricInfo, target: str) -> bool:
    """Whether a score is for a leaderboard: images against stimuli, agreement by its own metrics only."""
    if info.compares_accounts:
        return target == STIMULUS
    return is_agreement(info) if target == MEASURED else True


def _level(given: MetricRecord, info: MetricInfo, target: str) -> str:
    if target == RESPONSES:
        return "responses"
    if target == MEASURED:
        return "agreement"
    if given.inputs in ("captions", "decoder-embedding"):
        return "captions" if given.inputs == "captions" else "retrieval"
    network = info.backbone.partition(":")[0].partition("@")[0]
    return "low" if given.inputs == "images" or network in LOW_NETWORKS else "high"


def _main(columns: Sequence[Column]) -> set[int]:
    """Positions of the columns that are shown first: the field's eight scores, others where there are none,
    retrieval, agreement and voxel r."""
    of_the_field: dict[str, int] = {}
    for k, column in enumerate(columns):
        if column.target == STIMULUS and column.level in ("low", "high"):
            of_the_field.setdefault(in_field(column.metric), k)
    field = [of_the_field[name] for name in FIELD if name in of_the_field]
    if not field:
        field = [k for k, column in enumerate(columns) if column.target == STIMULUS][: len(FIELD)]
    voxel = [k for k, c in enumerate(columns) if c.level == "responses" and c.metric.base in MAIN_RESPONSES]
    rest = [k for k, c in enumerate(columns) if c.level in ("retrieval", "agreement")]
    return {*field, *rest, *voxel}
