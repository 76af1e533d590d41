"""The chain on the simulated cortex: what must rank above what, and what cannot be gamed."""

from __future__ import annotations

import pytest
from commands import HELPERS, call_harness, only_run, values

from harness.results import RunResult
from harness.statistics import paired_difference

CHEAT = HELPERS / "inverse.py"
METRICS = ",".join(
    (
        *("pixel-2way", "decoded-agreement", "decoded-agreement-controlled"),
        *("voxel-r", "voxel-r2-nc", "voxel-mse", "pattern-2way"),
    )
)
ROWS = ("predicted", "oracle", "remeasured")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """encoder -> its run on 240 test images; data and measured rows are shared through one store."""
    root = tmp_path_factory.mktemp("embedded")
    runs = {}

    def run(encoder: str) -> RunResult:
        if encoder not in runs:
            folder = root / f"run{len(runs)}"
            folder.mkdir()
            words = ["--encoder", encoder, "--decoder", "linear", "--metrics", METRICS]
            sizes = [
                "--set",
                "run.derangements=10",
                "--set",
                "benchmark.n_train=600",
                "--set",
                "benchmark.n_test=240",
            ]
            call_harness(folder, "run", *words, *sizes, "--no-report", HARNESS_STORE=str(root / "store"))
            runs[encoder] = only_run(folder)
        return runs[encoder]

    return run


@pytest.mark.parametrize("row", ["oracle", "measured", "predicted"])
@pytest.mark.parametrize("control", ["shuffled", "zero", "train-mean"])
def test_real_rows_beat_their_controls_in_identification(embedded, row, control):
    run = embedded("ridge")
    difference = paired_difference(values(run, "pixel-2way", row), values(run, "pixel-2way", control))
    assert difference.low > 0
    assert difference.p < 0.01
    assert difference.n == 240


def test_ridge_beats_the_training_mean_in_voxel_r(embedded):
    run = embedded("ridge")
    means = run.set_scores.set_index(["row", "metric"]).value
    assert means["predicted", "voxel-r-low@1"] > means["train-mean", "voxel-r-high@1"] == 0
    assert 0.1 < means["predicted", "voxel-r-mean@1"] < means["oracle", "voxel-r-mean@1"]


def test_the_oracle_reaches_the_noise_ceiling(embedded):
    table = embedded("ridge").voxel_scores
    share = table[(table.metric == "voxel-r2-nc@1") & (table.row == "oracle")].value.mean()
    assert share == pytest.approx(1, abs=0.06)  # 240 images; +-0.03 over 1,000 is in test_embedded.py


def test_a_decoder_inverse_decodes_best_and_agrees_on_nothing(embedded):
    cheat, honest = embedded(f"{CHEAT}:DecoderInverse"), embedded("ridge")
    rows = (values(cheat, "pixel-2way", row) for row in ("predicted", "measured"))
    gain = paired_difference(*rows)
    assert gain.low > 0
    agreement = {row: values(cheat, "decoded-agreement-controlled", row, "measured").mean() for row in ROWS}
    assert agreement["predicted"] < 0.05
    assert agreement["remeasured"] > 0.1
    assert agreement["oracle"] > agreement["remeasured"]
    plain = values(cheat, "decoded-agreement", "predicted", "measured").mean()
    assert plain > 0.5  # which is why the plain agreement alone would not do
    voxel_r = [
        run.set_scores.set_index(["row", "metric"]).value["predicted", "voxel-r-mean@1"]
        for run in (cheat, honest)
    ]
    assert voxel_r[0] < voxel_r[1]


def test_measured_rows_are_decoded_once_for_all_encoders(embedded):
    embedded("ridge")
    second = embedded(f"{CHEAT}:DecoderInverse")
    computed, reused = second.info["computed"]["decode"]
    assert computed == 15  # the predicted row alone: 240 images in micro-batches of 16
    assert reused > computed
