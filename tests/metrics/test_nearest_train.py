"""Distance to the nearest training image, and the same of the stimuli to read it by."""

from __future__ import annotations

import numpy as np
import pytest
from commands import TOYS
from named_metrics import metric_named
from scipy.spatial.distance import cdist

from harness.metrics.nearest_train import distance_to_nearest
from harness.reports.html import write_report
from harness.reports.tables import score_table
from harness.results import RunResult
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import write_run
from harness.settings import Request
from harness.storage.store import Store
from harness.storage.worker import forget

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("training", [1, 40, 2500])
def test_it_is_the_smallest_correlation_distance(training):
    result, others = RNG.normal(size=(30, 17)), RNG.normal(size=(training, 17))
    expected = cdist(result, others, "correlation").min(axis=1)
    np.testing.assert_allclose(distance_to_nearest(result, others), expected, atol=1e-12)
    order = RNG.permutation(training)
    np.testing.assert_allclose(distance_to_nearest(result, others[order]), expected, atol=1e-12)
    np.testing.assert_allclose(distance_to_nearest(3 * result + 1, others), expected, atol=1e-12)


def test_copies_constants_and_missing_values():
    others = RNG.normal(size=(20, 9))
    result = np.stack([others[7], -others[7], np.full(9, 0.3), np.full(9, np.nan)])
    values = distance_to_nearest(result, others)
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values[1] > 0
    assert values[2] == 1
    assert np.isnan(values[3])
    spoilt = others.copy()
    spoilt[7, 0] = np.nan
    assert distance_to_nearest(result[:1], spoilt)[0] > 0.01
    assert np.isnan(distance_to_nearest(result, np.full((2, 9), np.nan))).all()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Rows of the nearest training images are copies; a linear decoder's are not."""
    forget()
    folder = tmp_path_factory.mktemp("near")
    request = Request(
        benchmark=f"{TOYS}:ToyBenchmark",
        decoder=f"{TOYS}:ToyDecoder",
        values={
            "run": {
                "metrics": ["pixel-nearest-train", "clip-nearest-train@tiny", "pixcorr"],
                "derangements": 4,
            },
            "benchmark": {"n_test": 12, "n_train": 70},
        },
    )
    store = Store(folder / "store")
    run_outcome = run_plan(make_plan(request), store)
    write_run(run_outcome, folder / "run", command=["harness"], store=store)
    return run_outcome, RunResult.open(folder / "run")


def of(outcome, row, name):
    (scored,) = [
        s
        for s in outcome.scored.images
        if (s.images.row, s.metric.ref.name, s.target) == (row, name, "training")
    ]
    return scored.values


@pytest.mark.parametrize("name", ["pixel-nearest-train", "clip-nearest-train@tiny"])
def test_copies_of_training_images_are_at_distance_nought(outcome, name):
    run_outcome, _ = outcome
    np.testing.assert_allclose(of(run_outcome, "nearest-train-measured", name), 0, atol=1e-6)
    assert (of(run_outcome, "stimulus", name) > 0.01).all()
    assert (
        of(run_outcome, "generator-ceiling", name) == of(run_outcome, "stimulus", name)
    ).all()  # it returns the stimulus
    assert np.isfinite(of(run_outcome, "measured", name)).all()


def test_values_come_from_the_training_images(outcome):
    from harness.backbones.pixels import Pixels

    run_outcome, _ = outcome
    data = run_outcome.data

    def features(stimuli):
        rgb = Pixels().extract(stimuli.images(), ["rgb16"])["rgb16"]
        return rgb.reshape(len(rgb), -1)

    expected = metric_named("pixel-nearest-train").score(
        features(data.test.stimuli), features(data.train.stimuli)
    )
    np.testing.assert_allclose(of(run_outcome, "stimulus", "pixel-nearest-train"), expected)


def test_the_stimuli_stand_in_their_own_table_only(outcome):
    _, run = outcome
    near, scores = score_table(run, "training"), score_table(run)
    assert set(near.metric) == {"pixel-nearest-train@1", "clip-nearest-train@tiny@1"}
    assert {"stimulus", "measured", "nearest-train-measured", "flat-grey"} <= set(near.row)
    assert "shuffled-measured" not in set(near.row)  # re-pairing moves no image nearer to anything
    assert "stimulus" not in set(scores.row)
    assert set(scores.metric) == {"pixcorr@1"}
    assert near[near.row == "flat-grey"]["mean"].iloc[0] == 1  # in pixels it correlates with nothing
    assert not {flag["name"] for flag in run.info["flags"]} & {"decoder-prior-zone", "misaligned-ids"}
    page = write_report(run.folder).read_text()
    assert "How near to the training images" in page
    assert "the stimuli themselves" in page
