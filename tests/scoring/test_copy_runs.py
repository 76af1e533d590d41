"""Runs whose test images come several times: scores, shuffled rows, record and flags leave copies out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toys
from commands import TOYS, only_run
from named_metrics import metric_named
from PIL import Image

from harness.api import Responses, Split
from harness.metrics.encoding import pattern_two_way
from harness.metrics.identification import (
    two_way,
)
from harness.run.flags.identification import image_rates, response_rates, trial_rates
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import run_record
from harness.scoring.calls import mean_over_orders
from harness.scoring.compare import derangements_of
from harness.settings import Request
from harness.storage.store import Store
from harness.storage.worker import forget

TRIPLED = """
import sys; sys.path.insert(0, {tests!r})
from dataclasses import replace
import numpy as np
from harness.api import Responses, Split, Stimuli
from toys import ToyBenchmark

class Tripled(ToyBenchmark):
    '''Each test image three times under ids of its own, with a trial each.'''
    def load(self, subject):
        data = super().load(subject)
        stimuli, position = data.test.stimuli, np.tile(np.arange(len(data.test)), 3)
        ids = [f"{{stimuli.ids[k]}}-{{number}}" for number, k in enumerate(position)]
        trials = data.test.responses.repeats().transpose(1, 0, 2).reshape(len(ids), -1)
        test = Split(
            Stimuli.from_array(ids, stimuli.images()[position]), Responses.single(data.space, ids, trials)
        )
        return replace(data, test=test, truth=None, remeasured=None)
"""


METRICS = ("pixcorr", "pixel-2way", "pixel-100way", "pattern-2way", "image-retrieval", "brain-retrieval")


@pytest.fixture(scope="module")
def tripled_run(tmp_path_factory):
    """A run of the toys on 12 pictures that are listed three times."""
    tmp_path = tmp_path_factory.mktemp("tripled")
    (tmp_path / "lab.py").write_text(TRIPLED.format(tests=str(TOYS.parent)))
    request = Request(
        benchmark=f"{tmp_path / 'lab.py'}:Tripled",
        encoder=f"{TOYS}:ToyEncoder",
        decoder=f"{TOYS}:ToyDecoder",
        values={
            "run": {"metrics": list(METRICS), "derangements": 40},
            "benchmark": {"n_test": 12, "noise": 2.0},
        },
    )
    forget()
    return run_plan(make_plan(request), Store(tmp_path / "store"))


def pixels(images) -> np.ndarray:
    return images.images().reshape(len(images), -1).astype(np.float64)


def test_a_run_scores_and_shuffles_without_copies(tripled_run):
    outcome = tripled_run
    copies = np.repeat(np.arange(12), 3)  # data are in the order of their ids
    np.testing.assert_array_equal(outcome.data.test.stimuli.copies(), copies)
    scores = {(s.metric.ref.name, s.images.row, s.target): s for s in outcome.scored.images}
    measured, stimuli = outcome.sets[0].images, pixels(outcome.data.test.stimuli)
    assert outcome.sets[0].row == "measured"
    # The backbone sees 64 x 64 pixels, enlarged from 8 x 8, which hardly changes a correlation's rank.
    rates = two_way(pixels(measured), stimuli, copies=copies)
    scored = scores["pixel-2way", "measured", "stimulus"]
    np.testing.assert_allclose(scored.values.mean(), rates.mean(), atol=0.02)
    counts = scored.values * 33  # of 36 images, three of one picture
    np.testing.assert_allclose(counts, np.rint(2 * counts) / 2, atol=1e-9)
    # Twelve pictures are fewer than 100, though there are 36 images.
    left_out = dict(outcome.scored.left_out)
    why = "it needs 100 different test images and there are 12, listed 36 times"
    assert left_out == {"pixel-100way": why}
    patterns = next(s for s in outcome.scored.responses if s.row == "predicted")
    baseline = outcome.data.train.responses.mean().mean(axis=0)
    sides = outcome.predicted, outcome.data.test.responses.mean(), baseline
    np.testing.assert_allclose(patterns.values, pattern_two_way(*sides, copies=copies), atol=1e-6)
    # Each shuffled row is the mean over re-pairings with strangers alone.
    orders = derangements_of(measured.ids, 40, copies=copies)
    assert len(orders) == 36 - 2 * 3 + 1
    pixcorr = metric_named("pixcorr")
    sides = pixcorr.prepare(measured.images()), pixcorr.prepare(outcome.data.test.stimuli.images())
    expected = mean_over_orders(
        lambda order, target: pixcorr.score({k: v[order] for k, v in sides[0].items()}, target),
        [np.arange(36), sides[1]],
        orders,
        {},
    )
    shuffled = scores["pixcorr", "shuffled-measured", "stimulus"].values
    np.testing.assert_allclose(shuffled, expected, atol=1e-9)
    for name in ("image-retrieval", "brain-retrieval"):
        assert np.isfinite(scores[name, "measured", "stimulus"].values).all()
        assert scores[name, "zero", "stimulus"].values.mean() == pytest.approx(1 / 12)


def test_the_record_counts_pictures_and_flags_know_copies(tripled_run, tmp_path):
    outcome, data = tripled_run, tripled_run.data
    record = run_record(outcome, command=[], store=Store(tmp_path / "store"), gallery_rule="")
    assert (record.n_test, record.n_test_pictures) == (36, 12)
    metrics = {metric.name.partition("@")[0]: metric for metric in record.metrics}
    assert metrics["image-retrieval"].label == "image retrieval, 12-way"
    assert metrics["brain-retrieval"].chance == 1 / 12
    (flag,) = [flag for flag in record.flags if flag.name == "doubled-test-images"]
    assert "36 test images are 12 different pictures" in flag.message
    assert "no rivals of each other" in flag.message
    copies, perfect = data.test.stimuli.copies(), {"measured": outcome.copies["stimulus"]}
    thumbnails = perfect | {"stimulus": outcome.copies["stimulus"]}
    assert image_rates([], thumbnails, doubled=copies)["measured"][0][1].mean() == 1
    assert image_rates([], thumbnails)["measured"][0][1].mean() < 1
    means = data.test.responses.mean()
    same = np.stack([means[copies == k].mean(axis=0) for k in range(12)])[copies]
    assert response_rates([], replace(data, test=clean(data, same)), same)[0][1].mean() == 1
    assert trial_rates(replace(data, test=clean(data, same)), same).mean() == 1


def clean(data, patterns) -> Split:
    """The test split with these `patterns` (N, V) measured."""
    return Split(data.test.stimuli, Responses.single(data.space, data.test.stimuli.ids, patterns))


def test_perfect_reconstructions_of_a_file_with_ids_win_every_time(harness, tmp_path):
    """Trials as rows, each with an id of its own: they stay images, and their copies stay out."""
    rng = np.random.default_rng(0)
    pictures = toys.scenes(10, seed=4)[np.repeat(np.arange(10), 3)]
    np.savez(
        tmp_path / "d.npz",
        a=toys.scenes(40, seed=3),
        ya=rng.standard_normal((40, 20)),
        b=pictures,
        yb=rng.standard_normal((30, 20)),
        ids=np.array([f"im{k:02d}" for k in range(30)]),
    )
    (tmp_path / "data.yaml").write_text(
        "benchmark:\n  file: d.npz\n  train: {images: a, responses: ya}\n"
        "  test: {images: b, responses: yb, ids: ids}\n  image_layout: nhwc\n  units: raw\n"
    )
    (tmp_path / "rec").mkdir()
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "rec" / f"im{k:02d}.png")
    words = ["--benchmark", "paired", "--config", "data.yaml", "--no-report"]
    harness("score", "rec", *words, "--metrics", "pixcorr,pixel-2way,pixel-2way-strict,pixel-100way")
    run = only_run(tmp_path)
    means = run.scores[run.scores.target == "stimulus"].groupby(["row", "metric"])["value"].mean()
    for name in ("pixel-2way@1", "pixel-2way-strict@1"):
        assert means["reconstructions", name] == 1.0
    # All re-pairings together are at chance; without the true ones that is (M c - 1) / (M - 1) of M pictures.
    assert means["shuffled-reconstructions", "pixel-2way@1"] == pytest.approx((10 * 0.5 - 1) / 9, abs=0.02)
    assert means["shuffled-reconstructions", "pixcorr@1"] < 0.2
    (left_out,) = run.info["left_out_metrics"]
    assert left_out["why"] == "it needs 100 different test images and there are 10, listed 30 times"
    assert "doubled-test-images" in {flag["name"] for flag in run.info["flags"]}


def test_one_test_image_has_no_score_that_needs_a_rival(harness, tmp_path, toy_words):
    metrics = "pixcorr,pixel-2way,pattern-2way,image-retrieval,brain-retrieval,voxel-mse"
    harness("run", *toy_words[:-1], metrics, "--limit", "1", "--no-report")
    run = only_run(tmp_path)
    left_out = {line["metric"]: line["why"] for line in run.info["left_out_metrics"]}
    ranked = ("pixel-2way", "pattern-2way", "image-retrieval", "brain-retrieval")
    assert left_out == dict.fromkeys(ranked, "one test image has no rival")
    assert set(run.scores.metric) == {"pixcorr@1"}
