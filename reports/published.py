"""A run beside the numbers that papers print: what is nearest to what, and in what they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, suggest
from harness.published import PublishedRow, base_name, published_rows
from harness.results import RunResult

from .layout import SIMULATED, is_simulated
from .tables import encoding_table, score_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("published", "system", "row", "metric", "metric_label", "mean", "low", "high", "published_metric")
COLUMNS += ("published_value", "unchecked")

ALL = "published"
"""Name for all published lines of the run's systems, or where there are none, of any."""

SMALL = "@tiny"


def chosen_rows(run: RunResult, names: Sequence[str]) -> tuple[PublishedRow, ...]:
    """Published lines by their names; :data:`ALL` are those of the run's encoder and decoder, else all.

    Raises
    ------
    ConfigError
        There is no line of such a name.
    """
    every = published_rows()
    by_name = {row.name: row for row in every}
    picked: list[PublishedRow] = []
    for name in names:
        if name == ALL:
            picked += _of_systems(run, every)
        elif name in by_name:
            picked.append(by_name[name])
        else:
            raise ConfigError("--against: " + suggest(name, (*by_name, ALL), what="published line"))
    return tuple({row.name: row for row in picked}.values())


def against_table(run: RunResult, rows: Sequence[PublishedRow]) -> pd.DataFrame:
    """A line for each score of `run` that one of `rows` has, or has nearest, columns :data:`COLUMNS`.

    What is compared is the row ``predicted`` where the published line has an encoder, else ``measured`` or
    the images that were given.
    """
    import pandas as pd

    ours = row_scores(run)
    lines = []
    for published in rows:
        row = _row(run, published)
        for metric, line in ours.get(row, {}).items():
            if not (near := nearest(published, metric)):
                continue
            lines.append(
                {
                    "published": published.name,
                    "system": published.system,
                    "row": row,
                    "metric": metric,
                    "metric_label": line["metric_label"],
                    **{key: line[key] for key in ("mean", "low", "high")},
                    "published_metric": near,
                    "published_value": published.values[near],
                    "unchecked": near in published.unchecked,
                }
            )
    return pd.DataFrame(lines, columns=list(COLUMNS))


def nearest(published: PublishedRow, metric: str) -> str:
    """The published metric nearest to `metric`, small networks standing for those that they imitate."""
    return published.near(metric) or published.near(base_name(metric).removesuffix(SMALL))


def differences(run: RunResult, published: PublishedRow) -> list[str]:
    """In what the numbers of `run` and of a published line are not comparable, a sentence each."""
    record = run.record
    lines = []
    if is_simulated(run):
        lines.append(f"{SIMULATED}, here; {published.dataset} there")
    elif published.dataset.lower() not in record.benchmark.name.lower():
        lines.append(f"benchmark '{record.benchmark.name}' here, {published.dataset} there")
    if published.subjects and published.subjects != (record.subject,):
        several = "the mean over " if len(published.subjects) > 1 else ""
        lines.append(f"subject {record.subject} here, {several}{', '.join(published.subjects)} there")
    if published.n_test and record.n_test and published.n_test != record.n_test:
        lines.append(f"{record.n_test} test images here, {published.n_test} there")
    if published.encoder and record.encoder and record.encoder.name != published.encoder:
        lines.append(f"encoder '{record.encoder.name}' here, {published.system} there")
    if published.decoder and record.decoder and record.decoder.name != published.decoder:
        lines.append(f"decoder '{record.decoder.name}' here, '{published.decoder}' there")
    if _is_small(run):
        lines.append("small networks of this project here")
    for metric in record.metrics:
        near = nearest(published, metric.name)
        if near and base_name(metric.name) != near:
            lines.append(f"{base_name(metric.name)} here beside {near} there")
    return [*lines, *published.differs]


def shared_differences(
    compared: Mapping[str, tuple[RunResult, PublishedRow]],
) -> dict[str, tuple[str, ...]]:
    """What :func:`differences` says of runs and lines, each sentence once with the names of its pairs."""
    reasons: dict[str, list[str]] = {}
    for name, (run, row) in compared.items():
        for sentence in differences(run, row):
            reasons.setdefault(sentence, []).append(name)
    return {sentence: tuple(names) for sentence, names in reasons.items()}


def _is_small(run: RunResult) -> bool:
    """Whether the run's systems are built on small networks of this project."""
    parts = [run.record.encoder, run.record.decoder]
    return any("tiny" in str(part.params) for part in parts if part is not None)


def _of_systems(run: RunResult, every: Sequence[PublishedRow]) -> list[PublishedRow]:
    record = run.record
    names = {part.name for part in (record.encoder, record.decoder) if part is not None}
    own = [row for row in every if (row.encoder or row.decoder) in names]
    return own or [row for row in every if _row(run, row)]


def _row(run: RunResult, published: PublishedRow) -> str:
    """The row of `run` that a published line is to be read beside; ``""`` without one."""
    rows = [row.name for row in run.record.rows]
    if published.encoder:
        return "predicted" if "predicted" in rows else ""
    return next((name for name in ("reconstructions", "measured") if name in rows), "")


def row_scores(run: RunResult) -> dict[str, dict[str, dict[str, Any]]]:
    """Row -> metric -> line of the tables of scores against stimuli and of responses."""
    lines: dict[str, dict[str, dict[str, Any]]] = {}
    for table in (score_table(run), encoding_table(run)):
        for line in table.to_dict("records"):
            lines.setdefault(line["row"], {}).setdefault(line["metric"], line)
    return lines
