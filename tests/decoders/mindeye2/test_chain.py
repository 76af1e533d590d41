"""`harness run --encoder chasm --decoder mindeye2`: small in the usual loop, whole under `slow`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import call_harness, only_run

from harness.statistics import paired_difference

TWO_WAY = ("alexnet2@tiny", "alexnet5@tiny", "inception@tiny", "clip@tiny", "dinov2@tiny")
MAIN = ["--encoder", "chasm", "--decoder", "mindeye2"]
SMALL = [
    *("run", *MAIN, "--metrics", "pixcorr,clip@tiny,voxel-r", "--limit", "8"),
    *("--set", "benchmark.n_train=64", "--set", "run.derangements=4", "--set", "run.micro_batch=4"),
    *("--set", "encoder.stage1_epochs=1", "--set", "encoder.stage2_epochs=1"),
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


KILLED_AT = {
    "fit encoder": "checkpoints/*/stage1.safetensors",
    "fit decoder": "checkpoints/*/mindeye2.safetensors",  # its targets are kept: it has begun to train
    "decode": "decode/*/*/manifest.json",
    "score": "score/*/*/manifest.json",
}
"""What lies in the store when a stage has begun and is not done."""


def before_the_decoder(store: Path, to: Path) -> None:
    """Copy what a run had in `store` when it came to fitting the decoder."""
    fits = {file.parent.name: json.loads(file.read_text()) for file in store.glob("fit/*/*/manifest.json")}
    (fitted,) = [key for key, manifest in fits.items() if manifest["ingredients"]["plugin"] == "mindeye2"]
    shutil.copytree(store, to, ignore=shutil.ignore_patterns(fitted, "decode", "score", "embed"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", KILLED_AT)
def test_a_killed_command_goes_on_to_the_same_tables(small, tmp_path, stage):
    store = tmp_path / "store"
    if stage == "fit decoder":
        before_the_decoder(small / "store", store)
    assert not list(store.glob(KILLED_AT[stage]))
    command = [str(Path(sys.executable).with_name("harness")), *SMALL, "--no-report"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "HARNESS_STORE": str(store)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while not list(store.glob(KILLED_AT[stage])) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    begun = len(list(store.glob(KILLED_AT[stage])))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert begun, f"nothing of '{stage}' was there after ten minutes"
    assert not (tmp_path / "runs").exists()
    assert len(list(store.glob(KILLED_AT[stage]))) >= begun
    call_harness(tmp_path, *SMALL, "--no-report")
    counts = only_run(tmp_path).info["computed"]
    assert counts["data"] == [0, 1]
    assert counts["fit"] == {"fit encoder": [2, 0], "fit decoder": [1, 1]}.get(stage, [0, 2])
    if stage in ("decode", "score"):
        assert counts[stage][1] >= begun
    assert counts["decode"][0] == {"score": 0}.get(stage, counts["decode"][0])
    assert not list(store.glob("checkpoints/*"))
    assert tables(tmp_path) == tables(small)


# The whole command


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    call_harness(folder, "run", *MAIN)
    return only_run(folder)


def per_image(run, metric: str, row: str) -> np.ndarray:
    table = run.scores
    scores = table[
        (table.metric.str.partition("@1")[0] == metric) & (table.row == row) & (table.target == "stimulus")
    ]
    return scores.sort_values("image_id").value.to_numpy()


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
