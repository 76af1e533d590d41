"""`harness run --encoder chasm --decoder mindeye2`: small in the usual loop, whole under `slow`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import call_harness
from test_run import only_run

from harness.statistics import paired_difference

TWO_WAY = ("alexnet2@tiny", "alexnet5@tiny", "inception@tiny", "clip@tiny", "dinov2@tiny")
MAIN = ["--encoder", "chasm", "--decoder", "mindeye2"]
SMALL = [
    *("run", *MAIN, "--metrics", "pixcorr,clip@tiny,voxel-r", "--limit", "8"),
    *("--set", "benchmark.n_train=160", "--set", "run.derangements=4", "--set", "run.micro_batch=4"),
    *("--set", "encoder.stage1_epochs=2", "--set", "encoder.stage2_epochs=2"),
    *("--set", "decoder.epochs=3", "--set", "decoder.steps=2", "--set", "decoder.prior_steps=3"),
]


def tables(folder: Path) -> dict[str, bytes]:
    run = next(folder.glob("runs/*/scores.parquet")).parent
    return {name: (run / name).read_bytes() for name in ("scores.parquet", "set_scores.parquet")}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    call_harness(folder, *SMALL)
    return folder


def test_the_command_runs_at_a_small_size_and_reports(small):
    run = only_run(small)
    rows = set(run.scores.row)
    assert {"predicted", "measured", "oracle", "zero", "shuffled", "generator-ceiling"} <= rows
    html = next(small.glob("runs/*/report.html")).read_text()
    assert "mindeye2" in html
    assert "simulated" in html
    again = call_harness(small, *SMALL)
    assert "nothing was computed" in again.stdout


@pytest.mark.parametrize("after", [6.0, pytest.param(14.0, marks=pytest.mark.slow)])
def test_a_killed_command_goes_on_to_the_same_tables(small, tmp_path, after):
    command = [str(Path(sys.executable).with_name("harness")), *SMALL, "--no-report"]
    where = {**os.environ, "HARNESS_STORE": str(tmp_path / "store")}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    call_harness(tmp_path, *SMALL, "--no-report")
    assert tables(tmp_path) == tables(small)


# The whole command


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    call_harness(folder, "run", *MAIN)
    return only_run(folder)


def per_image(run, metric: str, row: str) -> np.ndarray:
    table = run.scores
    found = table[
        (table.metric.str.partition("@1")[0] == metric) & (table.row == row) & (table.target == "stimulus")
    ]
    return found.sort_values("image_id").value.to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("metric", TWO_WAY)
@pytest.mark.parametrize(
    ("row", "floor"),
    [("oracle", "shuffled-measured"), ("measured", "shuffled-measured"), ("predicted", "shuffled")],
)
def test_rows_beat_the_shuffled_ones_by_ten_points(whole, metric, row, floor):
    gain = paired_difference(per_image(whole, metric, row), per_image(whole, metric, floor))
    assert gain.mean >= 0.10
    assert gain.low > 0


@pytest.mark.slow
@pytest.mark.parametrize("metric", TWO_WAY)
def test_the_oracle_leads_and_both_keep_six_tenths_of_its_lead(whole, metric):
    means = {
        row: per_image(whole, metric, row).mean()
        for row in ("oracle", "measured", "predicted", "generator-ceiling")
    }
    assert means["oracle"] >= 0.85
    assert means["generator-ceiling"] >= 0.95
    for row in ("measured", "predicted"):
        assert means[row] - 0.5 >= 0.6 * (means["oracle"] - 0.5)
