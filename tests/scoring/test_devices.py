"""Metrics as torch operations: equal to the numpy ones, chosen where they should be, keyed apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from toy_metrics import SmallPixCorr

from harness.api import DataError, Stimuli
from harness.metrics import correlations_on_device, pixel, pixel_on_device
from harness.metrics.correlations import Rows, correlations
from harness.metrics.identification import (
    Rivalry,
    correlation_distance,
    deranged_ranks,
    identify,
    ranks,
)
from harness.metrics.pixel_families import FAMILIES, Family
from harness.metrics.pixel_on_device import PixCorrOn, SSIMOn
from harness.rows.row_images import RowImages
from harness.scoring.context import Scoring
from harness.scoring.devices import torch_device
from harness.scoring.driver import scorer_of
from harness.scoring.scores import MetricRef
from harness.stages.features import FeatureStore
from harness.storage.executors import Inline
from harness.storage.store import Store

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]
on_every_device = pytest.mark.parametrize("device", DEVICES)
SMALL = "small"


@pytest.fixture(autouse=True)
def small_family(monkeypatch):
    monkeypatch.setitem(FAMILIES, SMALL, Family(SMALL, sizes=(40, 70), antialias=False))


def pictures(n, height, width, seed=0):
    """(n, height, width, 3) uint8: noise over smooth colour."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(40, 216, (n, 5, 6, 3))
    rows, columns = np.arange(height) * 5 // height, np.arange(width) * 6 // width
    noise = generator.integers(-40, 40, (n, height, width, 3))
    return np.clip(coarse[:, rows][:, :, columns] + noise, 0, 255).astype(np.uint8)


def both(images, other, on, prepare, score, *, dtype):
    """Values on a device, and those of numpy."""
    on_device = on.score(on.prepare(images), on.prepare(other))
    return on_device, score(*(prepare(x, family=on.family, dtype=dtype) for x in (images, other)))


# Pixels


@on_every_device
@pytest.mark.parametrize("family", ["mindeye2-v1", "v2"])
@pytest.mark.parametrize("single", [True, False])
def test_pixel_metrics_equal_numpys(device, family, single):
    images, other = pictures(3, 300, 280), pictures(3, 256, 500, seed=1)
    images[0] = 90  # no contrast
    other[1] = images[1, :256, 20:276].repeat(2, axis=1)[:, :500]
    dtype, tolerance = (np.float32, 2e-6) if single else (np.float64, 1e-9)
    for on, prepare, score in (
        (PixCorrOn(family, device, single), pixel.prepare_pixcorr, pixel.pixcorr),
        (SSIMOn(family, device, single), pixel.prepare_ssim, pixel.ssim),
    ):
        scores, expected = both(images, other, on, prepare, score, dtype=dtype)
        assert (scores.shape, scores.dtype) == ((3,), np.float64)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance)
        assert np.ptp(expected) > 0.01
        itself, expected = both(images, images, on, prepare, score, dtype=dtype)
        np.testing.assert_allclose(itself, expected, rtol=0, atol=tolerance)


@given(
    sides=st.tuples(*[st.integers(1, 90)] * 4), seed=st.integers(0, 1000), levels=st.sampled_from([1, 2, 256])
)
@settings(max_examples=25, deadline=None)
def test_pixel_metrics_equal_numpys_at_any_size(sides, seed, levels):
    generator = np.random.default_rng(seed)
    images, other = (
        generator.integers(0, levels, (2, height, width, 3)).astype(np.uint8)
        for height, width in (sides[:2], sides[2:])
    )
    for on, prepare, score in (
        (PixCorrOn(SMALL, "cpu"), pixel.prepare_pixcorr, pixel.pixcorr),
        (SSIMOn(SMALL, "cpu"), pixel.prepare_ssim, pixel.ssim),
    ):
        scores, expected = both(images, other, on, prepare, score, dtype=np.float32)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-6)


def test_odd_images_are_as_for_numpy():
    gap = pictures(3, 50, 60).astype(np.float32) / 255
    gap[1, 5, 5] = np.nan
    for metric in (metric_named("pixcorr"), metric_named("ssim")):
        on = metric.on("cpu")
        values = on.score(on.prepare(gap), on.prepare(gap))
        assert np.isnan(values).tolist() == [False, True, False]
        nothing = on.prepare(np.empty((0, 8, 8, 3), np.uint8))
        assert on.score(nothing, nothing).shape == (0,)
        for wrong in (np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.int64)):
            with pytest.raises(DataError) as here:
                on.prepare(wrong)
            with pytest.raises(DataError) as there:
                metric.prepare(wrong)
            assert str(here.value) == str(there.value)


def test_how_many_images_are_on_the_device_at_once_does_not_matter(monkeypatch):
    images, other = pictures(5, 60, 50), pictures(5, 60, 50, seed=1)
    for on in (PixCorrOn(SMALL, "cpu"), SSIMOn(SMALL, "cpu")):
        monkeypatch.setattr(pixel_on_device, "IMAGES", 16)
        together = on.score(on.prepare(images), on.prepare(other))
        monkeypatch.setattr(pixel_on_device, "IMAGES", 2)
        np.testing.assert_allclose(on.score(on.prepare(images), on.prepare(other)), together, atol=1e-7)


# Correlations and identification


def features(n, d, seed=0, levels=0):
    """Results and targets (n, d); of few levels so that many rows are equal, opposite or flat."""
    generator = np.random.default_rng(seed)
    if levels:
        return generator.integers(-levels, levels + 1, (2, n, d)).astype(np.float32)
    target = generator.standard_normal((n, d)).astype(np.float32)
    return target + 2 * generator.standard_normal((n, d)).astype(np.float32), target


@on_every_device
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_correlations_equal_numpys(device, dtype, monkeypatch):
    monkeypatch.setattr(correlations_on_device, "HELD", 4000)  # many blocks of rows, and of features
    result, target = (side.astype(dtype) for side in features(40, 500))
    result[3], result[5, 7] = 2.5, np.nan
    result.flags.writeable = target.flags.writeable = False
    on = [correlations_on_device.rows_on(side, device) for side in (result, target)]
    rows = [Rows.of(side) for side in (result, target)]
    for on_device, on_host in zip(on, rows):
        np.testing.assert_allclose(on_device.mean, on_host.mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(on_device.norm, on_host.norm, rtol=1e-12)
    at = (np.arange(40)[::2], slice(None))
    r = correlations_on_device.correlations_on(*on, device=device, at=at)
    np.testing.assert_allclose(r, correlations(*rows, dtype=np.float64, at=at), rtol=0, atol=1e-9)
    distances = correlation_distance(result, target, device=device)
    np.testing.assert_allclose(distances, correlation_distance(result, target), rtol=0, atol=1e-9)
    assert (distances[3], np.isnan(distances).sum()) == (1.0, 1)


def same_counts(result, target, device):
    assigned = np.stack([np.roll(np.random.default_rng(1).permutation(len(result)), k) for k in range(3)])
    sums = []
    for where in (None, device):
        rivalry = Rivalry(len(result), lambda counts: counts.two_way(), lambda counts: counts.two_way())
        counts = ranks(result, target, rivalry=rivalry, device=where)
        moved = deranged_ranks(result, target, assigned, device=where)
        sums.append(
            [*(getattr(f, side) for f in (counts, moved) for side in ("below", "ties", "above")), rivalry]
        )
    for on_host, on_device in zip(*(s[:-1] for s in sums)):
        np.testing.assert_array_equal(on_host, on_device)
    scored = np.isfinite(sums[0][0])
    np.testing.assert_allclose(*(s[-1].values(scored) for s in sums), atol=1e-12)
    return sums[0]


@on_every_device
def test_counts_equal_numpys(device):
    result, target = features(60, 400)
    result[7, 3], target[9, 0] = np.nan, np.inf
    target[20:30] = target[10:20]  # copies of one stimulus
    result[40] = 1.0
    below, ties, *_ = same_counts(result, target, device)
    assert np.nansum(ties) >= 20
    assert np.isnan(below).sum() == 2
    close = np.repeat(features(1, 5000)[1].astype(np.float64), 30, axis=0)  # alike to the 8th digit
    close += 1e-4 * np.random.default_rng(2).standard_normal(close.shape)
    same_counts(close + 1e-4 * np.random.default_rng(3).standard_normal(close.shape), close, device)


@given(seed=st.integers(0, 1000), n=st.integers(2, 25), d=st.integers(2, 5), levels=st.integers(1, 2))
@settings(max_examples=40, deadline=None)
def test_ties_equal_numpys(seed, n, d, levels):
    same_counts(*features(n, d, seed, levels), "cpu")


@on_every_device
@pytest.mark.parametrize(
    "metric",
    [
        metric_named("pixel-2way"),
        metric_named("pixel-100way"),
        metric_named("efficientnet@tiny"),
        metric_named("clip-strict"),
    ],
)
def test_metrics_of_features_equal_numpys(device, metric):
    result, target = features(110, 30)
    target[5] = target[6]
    on = metric.on(device)
    assert (on.device, metric.device) == (device, None)
    np.testing.assert_allclose(on.score(result, target), metric.score(result, target), rtol=0, atol=1e-9)
    if metric.row.deranged is not None:
        orders = np.stack([np.roll(np.arange(110), k) for k in (1, 2)])
        for more in ({}, {"rivalry": True}):
            scores, expected = (
                place.score_deranged(result, target, orders, **more) for place in (on, metric)
            )
            np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


# Who computes where


def without_places(result, target):
    """Scores, and knows nothing of devices."""
    return np.asarray(result[:, 0], np.float64)


OWN = replace(metric_named("decoded-agreement").row, score=without_places)


def test_only_cuda_and_only_metrics_that_know_of_it():
    for name in ("pixcorr", "ssim-v2", "pixel-100way", "efficientnet@tiny"):
        row = metric_named(name).row
        places = [torch_device(row, device) for device in ("cpu", "mps", "cuda", "cuda:1")]
        assert places == [None, None, "cuda", "cuda:1"]
    for row in (SmallPixCorr, OWN, metric_named("decoded-agreement").row):
        assert torch_device(row, "cuda") is None


USED: list[str] = []


def card_pixels(*, device, family):
    """On the processor, asked for the card: a machine without one can run it."""
    USED.append(device)
    return PixCorrOn(family, "cpu")


def card_two_way(result, target, *, device=None, **more):
    if device is not None:
        USED.append(device)
    return identify(result, target, candidates=2, device="cpu" if device else None, **more)


CARD = {
    "pixcorr": {"on": partial(card_pixels, family="mindeye2-v1")},
    "pixel-2way": {"score": card_two_way, "deranged": None},
}


@dataclass(frozen=True)
class Installed:
    """Stands for the reference to a plugin."""

    row: object
    name: str

    def load(self):
        return self.row


def scored(row, store, device, count):
    """Values of `row` in a run on `device` and of its shuffled control; `count` artifacts are computed."""
    images, other = (
        Stimuli.from_array([f"i{k:02d}" for k in range(12)], pictures(12, 40, 40, s)) for s in (0, 1)
    )
    metric = MetricRef(Installed(row, row.name), {"metric": row.name, "version": "1", "code": str(row.score)})
    run = Scoring(
        data=None,
        store=store,
        executor=Inline(),
        features=FeatureStore(store, Inline(), device="cpu"),
        sets=[RowImages("measured", -1, 0, images, other, None)],
        shuffled={"measured": "shuffled"}.get,
        derangements=3,
        device=device,
    )
    before = store.computed["score"]
    image_scores = scorer_of(row)(run).score(metric).images
    assert store.computed["score"] - before == count
    return np.stack([score.values for score in image_scores])


@pytest.mark.parametrize("name", CARD)
def test_a_run_on_a_card_scores_the_same_and_keeps_it_apart(name, tmp_path):
    row = metric_named(name).row
    card = replace(row, name="card", **CARD[name])
    store = Store(tmp_path)
    USED.clear()
    expected = scored(row, store, "cpu", 2)
    np.testing.assert_allclose(scored(card, store, "cpu", 2), expected, rtol=0, atol=1e-12)
    assert USED == []
    np.testing.assert_allclose(scored(card, store, "cuda", 2), expected, rtol=0, atol=2e-6)
    assert set(USED) == {"cuda"}
    scored(card, store, "cuda", 0)
    scored(card, store, "cpu", 0)


@pytest.mark.parametrize("row", [SmallPixCorr, OWN], ids=["images", "embedding"])
def test_metrics_that_know_nothing_of_devices_are_computed_once_for_all(row, tmp_path):
    row, store = replace(row, targets=("stimulus",)), Store(tmp_path)
    np.testing.assert_array_equal(scored(row, store, "cpu", 2), scored(row, store, "cuda", 0))
