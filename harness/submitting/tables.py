"""A submission's tables against each other and against its record: what needs no data."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HarnessError
from ..results import IDENTITY, RunResult
from ..run.descriptions import described_metric
from ..run.tables import pool_hash
from ..scoring.contributions import VOXEL_R
from ..scoring.regions import ALL
from ..scoring.scores import metric_ref
from ..statistics import contributed_interval
from .findings import Findings, same
from .write import TABLES

if TYPE_CHECKING:
    import pandas as pd

COMPLETE = "tables have every image, once"
NAMES = "names and pools in tables are the record's"
WITHIN = "means over voxels, regions and images within the tables"
DERIVED = "means, intervals, differences and tests"
METRICS = "what the record says of metrics"

SUMMED = 1e-6
"""Relative difference of sums of float32 scores in another order."""

KEYS = ("row", "target", "metric", "trial", "sample")


def check_tables(run: RunResult, findings: Findings) -> None:
    """Every table, group by group."""
    ids = _test_ids(run)
    findings.compare(COMPLETE, "run.json: n_test", run.record.n_test, len(ids))
    _check_names(run, findings)
    _check_images(run, ids, findings)
    _check_rows(run, findings)
    _check_metrics(run, findings)
    _check_voxels(run, findings)
    _check_contributions(run, ids, findings)


def check_derived(run: RunResult, derived: Mapping[str, bytes], findings: Findings) -> None:
    """The CSV files beside the tables against `derived`, made of these tables now."""
    for name, content in derived.items():
        file = run.folder / f"{name}.csv"
        if not file.is_file():
            findings.wrong.append(f"{name}.csv is missing, which the tables give")
            continue
        _compare_csv(f"{name}.csv", _cells(file.read_bytes()), _cells(content), findings)
    for file in sorted(run.folder.glob("*.csv")):
        if file.stem not in derived:
            findings.wrong.append(f"{file.name} is no table that a run of this kind has")


def _test_ids(run: RunResult) -> tuple[str, ...]:
    scores = run.scores
    whole = scores[scores["trial"] == -1]
    ids = set(whole["image_id"])
    for line in run.region_contributions.itertuples():
        ids.update(line.image_ids)
    return tuple(sorted(ids))


def _check_names(run: RunResult, findings: Findings) -> None:
    record = run.record
    benchmark = record.benchmark
    expected = {
        "run": record.run,
        "benchmark": f"{benchmark.name}@{benchmark.version}",
        "subject": record.subject,
        "encoder": "" if record.encoder is None else record.encoder.name,
        "adapter": record.adapter,
        "decoder": "" if record.decoder is None else record.decoder.name,
        "selection": record.selection,
    }
    for name, table in _all_tables(run):
        for column in ("run", *IDENTITY):
            for value in table[column].unique():
                findings.compare(NAMES, f"{name}.parquet: {column}", str(value), expected[column])


def _check_images(run: RunResult, ids: Sequence[str], findings: Findings) -> None:
    pools = {metric.name: metric.pool for metric in run.record.metrics}
    limits = {m.name: (0.0, 1.0) for m in run.record.metrics if m.pool and m.chance and 0 < m.chance < 1}
    for key, part in run.scores.groupby(list(KEYS), sort=False, observed=True):
        named = dict(zip(KEYS, key))
        where = f"scores.parquet: {_place(named)}"
        present = part["image_id"].tolist()
        if doubled := sorted(name for name, times in Counter(present).items() if times > 1):
            findings.wrong.append(f"{where}: image '{doubled[0]}' stands there more than once")
        if named["trial"] == -1 and (missing := sorted(set(ids) - set(present))):
            findings.wrong.append(f"{where}: image '{missing[0]}' is missing ({len(missing)} in all)")
        findings.checked[COMPLETE] = findings.checked.get(COMPLETE, 0) + len(part)
        if set(part["n"]) != {len(present)}:
            findings.wrong.append(f"{where}: n is {sorted(set(part['n']))}; there are {len(present)} images")
        pool = pool_hash(present) if pools.get(named["metric"], False) else ""
        for value in part["pool"].unique():
            findings.compare(NAMES, f"{where}: pool", str(value), pool)
        values = part["value"].to_numpy(float)
        low, high = limits.get(named["metric"], (-np.inf, np.inf))
        for position in np.flatnonzero((values < low) | (values > high) | np.isinf(values)):
            findings.wrong.append(
                f"{where}: image '{present[position]}' has {values[position]:g}, which no such score can be"
            )


def _check_rows(run: RunResult, findings: Findings) -> None:
    """Rows that a run always has, and no others than the record's."""
    scores = run.scores
    stimulus = scores[scores["target"] == "stimulus"]
    recorded = {row.name: row for row in run.record.rows}
    for name, table in _all_tables(run):
        for row in sorted(set(table["row"]) - set(recorded)):
            findings.wrong.append(f"{name}.parquet has the row '{row}', which run.json does not")
    for metric, part in stimulus.groupby("metric", observed=True):
        rows = set(part["row"])
        for row in sorted(rows & set(recorded)):
            shuffled = recorded[row].shuffled
            if shuffled and shuffled not in rows:
                findings.wrong.append(f"scores.parquet: {metric} of row '{row}' has no row '{shuffled}'")
    for row in recorded.values():
        if not any((table["row"] == row.name).any() for _, table in _all_tables(run)):
            findings.wrong.append(f"run.json has the row '{row.name}', which no table has")


def _check_metrics(run: RunResult, findings: Findings) -> None:
    """Metrics of the record as this harness describes them, where it has the same version."""
    record = run.record
    scored = {name for _, table in _all_tables(run) for name in table["metric"].unique()}
    excused = {entry.metric for entry in (*record.left_out_metrics, *record.failed_metrics)}
    for metric in record.metrics:
        if metric.name not in scored and not {metric.name, metric.name.rpartition("@")[0]} & excused:
            findings.wrong.append(f"run.json has the metric '{metric.name}', which no table has")
        try:
            ref = metric_ref(metric.name.rpartition("@")[0])
            if ref.label != metric.name:
                raise HarnessError(f"version {ref.label}")
        except HarnessError:
            findings.not_checked.append(f"metric '{metric.name}' is not installed here in this version")
            continue
        here = described_metric(ref, record.n_test or 0, record.n_test_pictures or record.n_test or 0)
        for name, value in here.model_dump(exclude={"dist", "file_sha", "meaning"}).items():
            findings.compare(METRICS, f"run.json: {name} of '{metric.name}'", getattr(metric, name), value)


def _check_voxels(run: RunResult, findings: Findings) -> None:
    """Regions are the means of their voxels."""
    space = run.record.space
    members = {("roi", name): voxels for name, voxels in space.rois.items()}
    members |= {("group", name): voxels for name, voxels in space.groups.items()}
    regions = run.region_scores
    for (row, metric), part in run.voxel_scores.groupby(["row", "metric"], sort=False, observed=True):
        where = f"voxel_scores.parquet: row '{row}', {metric}"
        values = part.set_index("voxel")["value"].astype(float)
        if values.index.has_duplicates:
            findings.wrong.append(
                f"{where}: voxel {values.index[values.index.duplicated()][0]} stands there twice"
            )
            continue
        if space.n_valid is not None:
            findings.compare(COMPLETE, f"{where}: number of voxels", len(values), space.n_valid)
        findings.compare(COMPLETE, f"{where}: n", sorted(map(int, set(part["n"]))), [run.record.n_test])
        own = regions[(regions["row"] == row) & (regions["metric"] == metric) & (regions["part"] == "")]
        for line in own.itertuples():
            inside = (
                values
                if line.kind == "all"
                else values.reindex(list(members.get((line.kind, line.region), ())))
            )
            scored = inside[np.isfinite(inside)]
            place = f"region_scores.parquet: row '{row}', {metric}, {line.region}"
            findings.compare(WITHIN, place, float(line.value), _mean(scored), within=SUMMED)
            findings.compare(WITHIN, f"{place}: n_voxels", int(line.n_voxels), len(scored))


def _check_contributions(run: RunResult, ids: Sequence[str], findings: Findings) -> None:
    """What images contribute has the score as its mean, and gives the interval of voxel r."""
    sets, regions = run.set_scores, run.region_scores
    pool = pool_hash(ids)
    for line in run.region_contributions.itertuples():
        place = f"region_contributions.parquet: row '{line.row}', {line.metric}, {line.region}"
        parts = np.asarray(line.contributions, float)
        findings.compare(COMPLETE, f"{place}: images", sorted(line.image_ids), list(ids))
        findings.compare(NAMES, f"{place}: pool", line.pool, pool)
        if np.isfinite(parts).all():
            findings.compare(WITHIN, place, float(line.value), float(parts.mean()), within=SUMMED)
        key = (regions["row"] == line.row) & (regions["metric"] == line.metric) & (regions["part"] == "")
        for value in regions[key & (regions["region"] == line.region) & (regions["kind"] == line.kind)][
            "value"
        ]:
            findings.compare(
                WITHIN, f"{place} and region_scores.parquet", float(line.value), float(value), within=SUMMED
            )
        if (line.metric, line.kind, line.region) == (VOXEL_R, "all", ALL):
            interval = contributed_interval(float(line.value), parts)
            for name, value in (("mean", interval.mean), ("low", interval.low), ("high", interval.high)):
                own = sets[(sets["row"] == line.row) & (sets["metric"] == f"voxel-r-{name}@1")]["value"]
                for given in own:
                    where = f"set_scores.parquet: voxel-r-{name} of row '{line.row}'"
                    findings.compare(WITHIN, where, float(given), float(value), within=SUMMED)


def _compare_csv(name: str, given: pd.DataFrame, recomputed: pd.DataFrame, findings: Findings) -> None:
    if list(given.columns) != list(recomputed.columns):
        findings.compare(DERIVED, f"{name}: columns", list(given.columns), list(recomputed.columns))
        return
    if len(given) != len(recomputed):
        findings.compare(DERIVED, f"{name}: number of lines", len(given), len(recomputed))
    columns = given.columns.tolist()
    named = [c for c in ("row", "target", "control", "metric", "region") if c in columns]
    for number, (ours, theirs) in enumerate(zip(given.to_numpy(), recomputed.to_numpy()), start=2):
        line = dict(zip(columns, theirs))
        where = f"{name}, line {number} ({_place({c: line[c] for c in named})})"
        for column, cell, again in zip(columns, ours, theirs):
            findings.compare(DERIVED, f"{where}: {column}", _number(cell), _number(again))


def _cells(content: bytes) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)


def _number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def _all_tables(run: RunResult) -> list[tuple[str, pd.DataFrame]]:
    return [(name, getattr(run, name)) for name in TABLES]


def _place(named: Mapping[str, Any]) -> str:
    whole = {"trial": -1, "sample": 0}
    shown = {key: value for key, value in named.items() if not same(value, whole.get(key))}
    return ", ".join(f"{key} '{value}'" for key, value in shown.items())


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
