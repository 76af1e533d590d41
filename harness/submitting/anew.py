"""The whole run of a submission made again, and every value of its tables compared."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ..progress import Reporter
from ..results import RunResult
from ..run.pipeline import run_plan
from ..run.record import run_record
from ..run.tables import table_files
from ..storage.store import Store
from .findings import Findings
from .remade import remade_plan
from .write import TABLES

if TYPE_CHECKING:
    import pandas as pd

ANEW = "every value of the run made anew"
FACTS = ("flags", "metrics", "rows", "settings", "seed", "samples", "candidates", "blended", "subset")
"""Parts of the record that a run gives again, on whatever machine."""

VALUES = ("value", "rivalry", "contributions", "n", "n_voxels", "pool", "image_ids")
WITHIN = 1e-4
"""Relative difference of scores by processors that round differently."""


def check_anew(run: RunResult, findings: Findings, *, store: Store, reporter: Reporter) -> None:
    """Make the run again, by installed plugins alone, and compare tables and record."""
    plan, why_not = remade_plan(run.record)
    if plan is None:
        findings.not_checked.append(f"the run was not made anew: {why_not}")
        return
    plan.require_files()
    outcome = run_plan(plan, store, reporter=reporter)
    tables = table_files(outcome)
    for table in TABLES:
        name = f"{table}.parquet"
        _compare(name, getattr(run, table), _frame(tables[name]), findings)
    record = run_record(outcome, command=(), store=store, gallery_rule="").model_dump(mode="json")
    for name in FACTS:
        given = run.record.model_dump(mode="json")[name]
        findings.compare_tree(ANEW, f"run.json: {name}", given, record[name])


def _compare(name: str, table: pd.DataFrame, remade: pd.DataFrame, findings: Findings) -> None:
    keys = [column for column in remade.columns if column not in VALUES]
    ours, theirs = (
        {tuple(line[key] for key in keys): line for line in frame.to_dict("records")}
        for frame in (table, remade)
    )
    for key in [*theirs.keys() - ours.keys(), *ours.keys() - theirs.keys()]:
        lacks = "lacks" if key in theirs else "has, and the run does not give,"
        findings.wrong.append(f"{name} {lacks} the line {', '.join(map(str, key))}")
    for key, line in theirs.items():
        if key not in ours:
            continue
        where = f"{name}: {', '.join(f'{k} {v}' for k, v in zip(keys, key) if k in _SHOWN)}"
        for column in VALUES:
            if column in line:
                given, again = _plain(ours[key][column]), _plain(line[column])
                findings.compare_tree(ANEW, f"{where}: {column}", given, again, within=WITHIN)


_SHOWN = ("row", "target", "image_id", "metric", "voxel", "region", "trial", "sample")


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, tuple | list) else value


def _frame(content: bytes) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(io.BytesIO(content))
