"""A submission of a small run on the simulated cortex, and every way to alter it that a test tries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from harness.cli.submit import derived_tables
from harness.progress import Silent
from harness.results import RunResult
from harness.storage.store import Store
from harness.submitting.data import subject_data
from harness.submitting.findings import Findings
from harness.submitting.remade import remade_plan
from harness.submitting.verify import verify
from harness.submitting.write import TABLES, write_submission


def submitted(run: RunResult, folder: Path, store: Store, **how) -> Path:
    plan, why_not = remade_plan(run.record, own_code=how.pop("own_code", False))
    told = {"plan": plan, "why_not": why_not, "store": store, "reporter": Silent()}
    write_submission(run, folder, derived_tables(run), **told, **how)
    return folder


def verified(folder: Path, store: Store, **how) -> Findings:
    def data(run: RunResult):
        return subject_data(run, benchmark=None, assignments=(), store=store)

    return verify(folder, derived_tables, data=how.pop("data", data), **{"sample": 2, **how})


def edit_json(folder: Path, name: str, change: Callable[[dict], None]) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def edit_table(folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    file = folder / f"{name}.parquet"
    change(pd.read_parquet(file)).to_parquet(file, index=False)


def set_value(table: pd.DataFrame, value: float, **where: object) -> pd.DataFrame:
    """The first line that fits gets another value."""
    fits = np.logical_and.reduce([table[column] == wanted for column, wanted in where.items()])
    table.loc[table.index[fits][0], "value"] = value
    return table


def rehash(folder: Path, *, derive: bool = False) -> None:
    """What a forger does next: all hashes again, and with `derive` the derived tables too."""
    shas = {f"{name}.parquet": _sha(folder / f"{name}.parquet") for name in TABLES}
    edit_json(folder, "run.json", lambda info: info["files_sha"].update(shas))
    if derive:
        for name, content in derived_tables(RunResult.open(folder)).items():
            (folder / f"{name}.csv").write_bytes(content)

    def hashed(record: dict) -> None:
        names = [
            file.name for file in folder.iterdir() if file.name not in ("submission.json", "verified.json")
        ]
        record["files"] = {name: _sha(folder / name) for name in sorted(names)}

    edit_json(folder, "submission.json", hashed)


def _sha(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
