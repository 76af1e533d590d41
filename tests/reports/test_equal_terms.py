"""Encoders of a suite on equal terms: tie groups, controls, costs of whatever the store had, shared work."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import TOYS
from rich.console import Console
from toy_runs import toy_run

from harness.cli.suite_tables import show
from harness.reports.equal_terms import equal_terms_table, unequal_terms
from harness.reports.suites import SuiteRun
from harness.results import RunResult
from harness.run.cells import CellResult, cells
from harness.run.suites import read_suite

METRICS = ("voxel-r", "voxel-mse")
ENCODERS = {
    "exact": (f"{TOYS}:ToyEncoder", {"noise": 0.0}),
    "again": (f"{TOYS}:ToyEncoder", {"noise": 0.0}),
    "noisy": (f"{TOYS}:ToyEncoder", {"noise": 3.0}),
    "ridge": ("ridge", {}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Four runs on one store; the second finds all that the first one made."""
    folder = tmp_path_factory.mktemp("equal")
    return [
        SuiteRun(
            name,
            "no decoder",
            0,
            toy_run(
                folder / name,
                folder / "store",
                {"run": {"metrics": list(METRICS)}, "benchmark": {"n_test": 40}, "encoder": params},
                encoder=encoder,
                decoder=None,
            ),
        )
        for name, (encoder, params) in ENCODERS.items()
    ]


@pytest.fixture(scope="module")
def table(runs):
    return equal_terms_table(runs, METRICS).set_index("encoder")


def test_encoders_have_intervals_and_tie_groups(table):
    assert table.loc["exact", "group"] == table.loc["again", "group"]
    assert table.loc["noisy", "group"] > table.loc["exact", "group"]
    encoders = table[table["kind"] == "encoder"]
    assert list(encoders.index) == list(ENCODERS)
    assert (encoders["low"] < encoders["voxel-r"]).all()
    assert (encoders["voxel-r"] < encoders["high"]).all()


def test_controls_stand_below_and_losers_are_named(table):
    controls = table[table["kind"] == "control"]
    assert len(controls) == 4  # zero, training mean, a re-measurement, the truth
    assert controls.iloc[-1]["voxel-r"] > table.loc["exact", "voxel-r"]
    assert dict(table["below_training_mean"].dropna()) == {
        **{"exact": False, "again": False, "noisy": True, "ridge": False}
    }


def test_costs_are_those_of_what_was_used_whenever_it_was_made(runs, table):
    assert (table.loc[list(ENCODERS), "parameters"] > 0).all()
    assert (table.loc[list(ENCODERS), "fit_cpu_seconds"] >= 0).all()
    assert table.loc["ridge", "fit_cpu_seconds"] > 0
    for name in ("fit_cpu_seconds", "predict_cpu_seconds", "parameters"):
        assert table.loc["exact", name] == table.loc["again", name]
    assert "fit 0/1" in table.loc["exact", "from_store"]
    assert "fit 1/1" in table.loc["again", "from_store"]


def test_a_run_of_before_costs_were_kept_shows_none(runs, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    for file in runs[0].run.folder.iterdir():
        if file.is_file():
            (old / file.name).write_bytes(file.read_bytes())
    info = json.loads((old / "run.json").read_text())
    (old / "run.json").write_text(json.dumps({k: v for k, v in info.items() if k != "cpu_seconds"}))
    line = equal_terms_table([SuiteRun("old", "", 0, RunResult.open(old))], METRICS).iloc[0]
    assert np.isnan(line["fit_cpu_seconds"])
    assert line["parameters"] > 0
    assert line["group"] == ""  # of one encoder


def test_unequal_terms_are_said(runs, tmp_path):
    assert unequal_terms(runs) == []
    other = toy_run(
        tmp_path / "run",
        runs[0].run.folder.parent / "store",
        {"run": {"metrics": list(METRICS)}, "benchmark": {"n_test": 40, "n_train": 50}},
        encoder="ridge",
        decoder=None,
    )
    notes = unequal_terms([*runs, SuiteRun("fewer", "", 1, other)])
    assert "toy01: other training images than exact: fewer" in notes
    assert "toy01: other training responses than exact: fewer" in notes
    assert "not all encoders have the same seeds" in notes


def test_the_command_prints_all_of_it(runs, tmp_path):
    (tmp_path / "equal.yaml").write_text(
        f'table: equal-terms\nbenchmark: {{name: "{TOYS}:ToyBenchmark"}}\nmetrics: [voxel-r, voxel-mse]\n'
        "encoders: {exact: {encoder: ridge}, noisy: {encoder: mlp}}\n"
    )
    suite = read_suite(str(tmp_path / "equal.yaml"))
    by_name = {suite_run.encoder: suite_run.run for suite_run in runs}
    results = [CellResult(cell, by_name[cell.encoder.label]) for cell in cells(suite, tmp_path)]
    console = Console(file=io.StringIO(), width=160)
    show(replace(suite, absent=()), results, tmp_path, console)
    text = console.file.getvalue()
    for words in (
        *("voxel-r [95 %]", "group", "parameters", "fit, CPU s", "predict, CPU s", "from the store"),
        *("mean training response", "on equal terms: one split", "noisy: its squared error is not below"),
    ):
        assert words in text, (words, text)
    written = pd.read_csv(tmp_path / "equal-terms.csv")
    assert {"low", "high", "group", "fit_cpu_seconds", "from_store"} <= {*written.columns}
