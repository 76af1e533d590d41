"""Rows of encoders that cheat: on request, decoded and scored like the others, and without a brain."""

from __future__ import annotations

import numpy as np
from commands import only_run
from toys import ToyBenchmark

from harness.rows.table import CHEATS
from harness.stages.cheats import noise_probes

WORDS = [
    *("--metrics", "pixcorr,voxel-r,pixel-2way,decoded-agreement-controlled", "--no-report"),
    *("--set", "benchmark.n_train=400", "--set", "benchmark.n_test=48", "--set", "benchmark.voxels=80"),
]


def test_cheats_stand_beside_the_score_when_asked_for(harness, tmp_path, toy_words):
    harness("run", *toy_words, *WORDS, "--decoder", "linear", "--set", "run.cheat_rows=true")
    run = only_run(tmp_path)
    images = run.scores.groupby(["metric", "target", "row"]).value.mean()
    assert images["pixcorr@1", "stimulus", "cheat-inverse"] > images["pixcorr@1", "stimulus", "measured"]
    voxel_r = run.voxel_scores.groupby("row").value.mean()
    assert set(CHEATS) <= set(voxel_r.index)
    # It knows of the brain no more than what the decoder learnt from it.
    assert voxel_r["cheat-inverse"] < voxel_r["predicted"] < voxel_r["oracle"]
    controlled = images["decoded-agreement-controlled@2", "measured"]
    assert set(CHEATS) <= set(controlled.index)
    assert abs(controlled["cheat-inverse"]) < 0.1
    labels = {row["name"]: row["label"] for row in run.info["rows"]}
    plain = images["pixcorr@1", "stimulus", "cheat-inverse-plain"]
    assert plain > images["pixcorr@1", "stimulus", "measured"]
    assert voxel_r["cheat-inverse-plain"] < voxel_r["oracle"]
    assert labels["cheat-inverse"] == "inverse of the decoder"
    words = ["run", *toy_words, *WORDS, "--decoder", "linear", "--set", "run.cheat_rows=true"]
    assert "nothing was computed" in harness(*words).stdout


def test_cheats_are_off_by_default(harness, tmp_path, toy_words):
    words = ["run", *toy_words, "--metrics", "pixcorr", "--no-report"]
    harness(*words)
    assert not set(CHEATS) & set(only_run(tmp_path).scores.row)


def test_what_is_inverted_is_asked_with_noise_alone():
    data = ToyBenchmark(ToyBenchmark.Params(n_train=300)).load("toy01")
    probes = noise_probes(data, count=2000, seed=0).mean()
    patterns = data.train.responses.mean()
    np.testing.assert_allclose(probes.mean(axis=0), patterns.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(probes.std(axis=0), patterns.std(axis=0), rtol=0.1)
    between = np.corrcoef(probes.T)[np.triu_indices(probes.shape[1], 1)]
    assert np.abs(between).max() < 0.15  # nothing of how voxels vary together
    assert np.array_equal(probes, noise_probes(data, count=2000, seed=0).mean())
