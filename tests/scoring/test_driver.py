"""Metrics that cannot be scored are left out with the reason, not shown as empty columns."""

from __future__ import annotations

import numpy as np
import pytest
from commands import HELPERS, only_run

from harness.scoring.driver import too_few_images, without_values
from harness.scoring.scores import ResponseScore, Scored, metric_ref

ONE_TRIAL = """
import sys; sys.path.insert(0, {tests!r})
from dataclasses import replace
from harness.api import Responses, Split
from toys import ToyBenchmark

class OneTrial(ToyBenchmark):
    def load(self, subject):
        data = super().load(subject)
        space = replace(data.space, ncsnr=None)
        parts = dict()
        for name in ("train", "test"):
            split = getattr(data, name)
            means = Responses.single(space, split.stimuli.ids, split.responses.mean())
            parts[name] = Split(split.stimuli, means)
        return replace(data, space=space, **parts, truth=None, remeasured=None)
"""
SMALL = ["--set", "benchmark.n_test=12", "--no-report"]


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("pixel-100way", 100),
        ("clip-100way", 100),
        ("clip-100way@tiny", 100),
        ("pixel-2way", 2),
        ("decoded-agreement", 2),
        ("decoded-agreement-controlled", 8),
        ("image-retrieval-300x30", 300),
        ("brain-retrieval-300x30", 300),
        ("pixcorr", 1),
        ("image-retrieval", 2),
    ],
)
def test_how_many_images_a_metric_needs(name: str, needed: int) -> None:
    metric = metric_ref(name).load()
    assert too_few_images(metric, needed) == ""
    if needed > 1:
        reason = too_few_images(metric, needed - 1)
        if needed == 2 and "copies" in metric.gets:
            assert reason == "one test image has no rival"
            return
        assert reason == f"it needs {needed} test images and there are {needed - 1}"


def test_a_metric_without_any_value_is_not_shown() -> None:
    def scored(*rows: np.ndarray) -> Scored:
        metric = metric_ref("pattern-r")
        return Scored(responses=[ResponseScore(metric, "predicted", "image", row) for row in rows])

    nothing = np.full(3, np.nan)
    assert without_values(scored(nothing, nothing))
    assert without_values(scored(nothing, np.array([np.nan, 0.0]))) == ""
    assert without_values(scored()) == ""


def test_a_hundred_ways_among_twelve_images_are_left_out(harness, tmp_path, toy_words) -> None:
    done = harness("run", *toy_words, "--metrics", "pixcorr,pixel-2way,pixel-100way", *SMALL)
    run = only_run(tmp_path)
    assert set(run.scores.metric) == {"pixcorr@1", "pixel-2way@1"}
    assert run.info["left_out_metrics"] == [
        {"metric": "pixel-100way", "why": "it needs 100 test images and there are 12"}
    ]
    assert not run.info["failed_metrics"]
    assert "needs 100 test images" in done.stdout + done.stderr


def test_scores_over_a_ceiling_are_left_out_where_there_is_none(harness, tmp_path, toy_words) -> None:
    (tmp_path / "once.py").write_text(ONE_TRIAL.format(tests=str(HELPERS)))
    words = ["--benchmark", "once.py:OneTrial", "--metrics", "voxel-r,voxel-r2-nc,mse-explained"]
    harness("run", *toy_words, *words, *SMALL)
    run = only_run(tmp_path)
    assert set(run.voxel_scores.metric) == {"voxel-r@1"}
    left_out = {line["metric"]: line["why"] for line in run.info["left_out_metrics"]}
    assert set(left_out) == {"voxel-r2-nc", "mse-explained"}
    assert len(set(left_out.values())) == 1
    assert "noise ceiling" in left_out["mse-explained"]
