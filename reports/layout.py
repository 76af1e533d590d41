"""How rows and metrics are ordered, grouped, named and written, the same in every report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.results import MetricRecord, RowRecord
from harness.statistics import share_limits

if TYPE_CHECKING:
    from harness.results import RunResult

SIMULATED = "simulated, not brain data"

GROUPS: Mapping[str, str] = {
    "compared": "Measured and predicted",
    "reference": "References",
    "control": "Controls: what a score is worth without the information",
    "bottleneck": "Measured responses through a bottleneck of so many dimensions",
    "lesion": "Lesions: the same decoder, one area's voxels kept, dropped or shuffled",
    "other": "Other rows",
}
"""Group of rows, as the record names it -> heading, in the order they are shown."""

_RANK = re.compile(r"measured-rank-(\d+)")


@dataclass(frozen=True)
class RowInfo:
    """A row as people read it; `group` is a key of :data:`GROUPS`."""

    name: str
    label: str
    note: str
    group: str


DERIVED = (
    RowInfo(
        "noise-ceiling", "noise ceiling", "the highest that a noiseless prediction can reach", "reference"
    ),
)
"""Rows that a table adds from ``run.json``."""


@dataclass(frozen=True)
class MetricInfo:
    """A metric as ``run.json`` describes it; ``label`` names the backbone where there is one."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    chance: float | None
    targets: tuple[str, ...]
    backbone: str
    pool: bool
    meaning: str = ""

    @property
    def base(self) -> str:
        """The name without its version."""
        return self.name.split("@")[0]

    @property
    def compares_accounts(self) -> bool:
        """Whether it compares what is said of an image, with what the decoder says of the true one too.

        Its four figures have a table of their own (:mod:`.captions`).
        """
        return "image" in self.targets

    @property
    def limits(self) -> tuple[float, float] | None:
        """Range of its values, for intervals (:func:`harness.statistics.share_limits`)."""
        return share_limits(self.pool, self.chance)

    @property
    def direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"


def ordered_rows(run: RunResult, names: Iterable[str]) -> list[RowInfo]:
    """`names` in the order of :data:`GROUPS` and of the record, each as the record describes it; unknown rows
    last, by name."""
    rows = [*DERIVED, *map(_row, run.record.rows)]
    described = {row.name: row for row in rows}
    place = {name: k for k, name in enumerate(described)}
    groups = list(GROUPS)
    infos = [described.get(name) or RowInfo(name, name, "", "other") for name in dict.fromkeys(names)]

    def order(row: RowInfo) -> tuple[int, int, str]:
        return groups.index(row.group), place.get(row.name, len(place)), row.name

    return sorted(infos, key=order)


def _row(row: RowRecord) -> RowInfo:
    return RowInfo(row.name, row.label or row.name, row.note, row.group if row.group in GROUPS else "other")


def rank_of(row: str) -> int | None:
    """Dimensions of the bottleneck that the row `row` passed through, or None."""
    match = _RANK.fullmatch(row)
    return int(match[1]) if match else None


def ordered_metrics(run: RunResult, names: Iterable[str]) -> list[MetricInfo]:
    """`names` in the order of ``run.json``; a metric that it does not describe comes last."""
    described = {metric.name: metric for metric in run.record.metrics}
    order = {name: k for k, name in enumerate(described)}
    unique = sorted(dict.fromkeys(names), key=lambda name: (order.get(name, len(order)), name))
    return [_metric(name, described.get(name, MetricRecord())) for name in unique]


def is_agreement(metric: MetricInfo) -> bool:
    """True for a metric that compares with the measured reconstruction and nothing else."""
    return metric.targets == ("measured",)


def is_simulated(run: RunResult) -> bool:
    return run.record.benchmark.simulated


def title(run: RunResult) -> str:
    """``encoder -> decoder on benchmark@version, subject`` in words."""
    record = run.record
    names = [plugin.name for plugin in (record.encoder, record.decoder) if plugin]
    version = f"@{record.benchmark.version}" if record.benchmark.version else ""
    where = f"{record.benchmark.name or 'unknown benchmark'}{version}"
    subject = f", {record.subject}" if record.subject else ""
    return f"{' → '.join(names) or 'no encoder, no decoder'} on {where}{subject}"


def direction(higher_is_better: bool) -> str:
    """Which way is better, for the head of a column or a line."""
    return "↑ higher is better" if higher_is_better else "↓ lower is better"


def number(value: float | None, *, digits: int = 3) -> str:
    """Decimals that suit scores; thousands get significant digits, NaN is a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.4g}"
    return text[1:] if float(text) == 0 and text.startswith("-") else text


def bracket(low: float | None, high: float | None, *, digits: int = 3) -> str:
    """``[low, high]``, or nothing when there is no interval (one image only)."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits=digits)}, {number(high, digits=digits)}]"


def percent(share: float, low: float = math.nan, high: float = math.nan) -> str:
    """A share and its interval in whole percent, nothing where it is not known."""
    if not math.isfinite(share):
        return ""
    bounded = math.isfinite(low) and math.isfinite(high)
    return f"{100 * share:.0f}\u00a0%" + (f" [{100 * low:.0f}, {100 * high:.0f}]" if bounded else "")


def chance_level(chance: float) -> str:
    """A chance level as people say it: 0.5 and 0.01, but 1/12 and not 0.0833333."""
    decimal = f"{chance:g}"
    if len(decimal) <= len("0.125") or chance <= 0:
        return decimal
    rivals = round(1 / chance)
    return f"1/{rivals}" if abs(rivals * chance - 1) < 1e-6 else decimal


def probability(p: float | None) -> str:
    if p is None or not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def left_out(missing: int) -> str:
    return f"{missing} not scored" if missing else ""


def _metric(name: str, given: MetricRecord) -> MetricInfo:
    return MetricInfo(
        name=name,
        label=given.label or name,
        unit=given.unit,
        higher_is_better=given.higher_is_better,
        chance=given.chance,
        targets=given.targets,
        backbone=given.backbone,
        pool=given.pool,
        meaning=given.meaning,
    )


def expectation(value: float) -> str:
    """Note of a shuffled row's cell: what it has by construction, if anything."""
    return f"by construction {number(value)}" if math.isfinite(value) else ""


BY_CONSTRUCTION = "re-paired images never meet their own stimulus, so they sit below chance 'by construction'"
"""Why shuffled rows are expected below chance in identification: the own stimulus wins as a rival."""
