"""Pixel metrics: equality with scikit-image, torchvision and numpy; invariants; odd inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity
from torchvision.transforms import Resize

from harness.errors import DataError
from harness.metrics import pixel
from harness.metrics.pixel_families import MINDEYE2_V1, V2
from harness.nn.resize import resize

METRICS = ("pixcorr", "ssim", "pixcorr-v2", "ssim-v2")


def smooth_images(n, height=64, width=64, seed=0):
    """(n, height, width, 3) uint8 with structure at several scales."""
    generator = np.random.default_rng(seed)
    total = np.zeros((n, height, width, 3), np.float32)
    for side in (4, 9, 30):
        coarse = generator.random((n, side, side, 3), np.float32)
        total += resize(coarse, (height, width), antialias=False) / 3
    return (total * 255).astype(np.uint8)


def score(metric, result, target):
    return metric.score(metric.prepare(result), metric.prepare(target))


def through_torchvision(images, family):
    """Images after torchvision's own Resize, (n, S, S, 3) in the type of `images`."""
    tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    for size in family.sizes:
        tensor = Resize((size, size), antialias=family.antialias)(tensor)
    return np.moveaxis(tensor.numpy(), 1, -1)


@pytest.mark.parametrize("name", METRICS)
def test_how_many_images_are_resized_together_does_not_matter(name, monkeypatch):
    images, metric = smooth_images(5, 40, 60), metric_named(name)
    together = metric.prepare(images)
    monkeypatch.setattr(pixel, "HELD", 2 * images[0].size)
    apart = metric.prepare(images)
    assert {name: len(array) for name, array in apart.items()} == dict.fromkeys(together, 5)
    for name, array in together.items():
        np.testing.assert_array_equal(apart[name], array)


@pytest.mark.parametrize("family", [MINDEYE2_V1, V2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-9)])
def test_ssim_equals_scikit_image(family, dtype, tolerance):
    truth = smooth_images(2, 300, 280).astype(dtype) / dtype(255)
    recon = np.clip(truth + np.random.default_rng(1).normal(0, 0.1, truth.shape), 0, 1).astype(dtype)
    scores = pixel.ssim(*(pixel.prepare_ssim(x, family=family.name, dtype=dtype) for x in (recon, truth)))
    grey = [rgb2gray(through_torchvision(x, family)) for x in (recon, truth)]
    for value, first, second in zip(scores, *grey):
        expected = structural_similarity(
            *(first, second),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        assert value == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("family", [MINDEYE2_V1, V2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-9)])
def test_pixcorr_equals_numpy(family, dtype, tolerance):
    images = smooth_images(4, 300, 280).astype(dtype) / dtype(255)
    sides = images[:2], images[2:]
    r = pixel.pixcorr(*(pixel.prepare_pixcorr(x, family=family.name, dtype=dtype) for x in sides))
    sides = (through_torchvision(x, family).reshape(2, -1) for x in sides)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(*sides)]
    np.testing.assert_allclose(r, expected, rtol=0, atol=tolerance)


def test_window_mean_equals_direct_sums():
    plane = np.random.default_rng(0).random((40, 57))
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    expected = np.lib.stride_tricks.sliding_window_view(plane, (11, 11)) * window
    np.testing.assert_allclose(pixel.window_mean(plane), expected.sum(axis=(2, 3)), atol=1e-14)


@pytest.mark.parametrize("name", METRICS)
def test_the_image_itself_scores_best(name):
    images, metric = smooth_images(4), metric_named(name)
    assert score(metric, images, images) == pytest.approx(np.ones(4), abs=1e-6)
    assert (score(metric, images[::-1], images) < 0.99).all()


@pytest.mark.parametrize("name", METRICS)
@given(seed=st.integers(0, 10_000), height=st.integers(20, 90), width=st.integers(20, 90))
@settings(max_examples=4, deadline=None)
def test_order_batch_and_type_do_not_matter(name, seed, height, width):
    metric = metric_named(name)
    images = smooth_images(6, height, width, seed)
    result, target = images[:3], images[3:]
    together = score(metric, result, target)
    order = np.random.default_rng(seed).permutation(3)
    assert np.array_equal(score(metric, result[order], target[order]), together[order])
    alone = np.concatenate([score(metric, result[k : k + 1], target[k : k + 1]) for k in range(3)])
    assert np.array_equal(alone, together)
    as_float = score(metric, result.astype(np.float32) / np.float32(255), target / 255.0)
    np.testing.assert_allclose(as_float, together, rtol=0, atol=1e-6)
    assert np.allclose(score(metric, target, result), together, atol=1e-7)  # symmetric


def test_pixcorr_ignores_brightness_and_contrast_and_ssim_does_not():
    images = smooth_images(3).astype(np.float32) / 255
    dimmed = images * np.float32(0.5) + np.float32(0.1)
    assert score(metric_named("pixcorr"), dimmed, images) == pytest.approx(np.ones(3), abs=1e-6)
    assert (score(metric_named("ssim"), dimmed, images) < 0.98).all()


def test_the_families_differ_when_images_are_reduced():
    images = smooth_images(2, 768, 768, seed=3)
    gritty = images.copy()
    gritty[:, 1::3, 1::3] //= 4  # every third pixel, which sampling without antialiasing hits alone
    plain, antialiased = (
        score(metric_named("ssim"), gritty, images),
        score(metric_named("ssim-v2"), gritty, images),
    )
    assert (antialiased > plain + 0.01).all()
    small = smooth_images(2, 64, 64)
    assert np.allclose(
        score(metric_named("ssim-v2"), small, small[::-1]),
        score(metric_named("ssim"), small, small[::-1]),
        atol=1e-5,
    )


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_constant_images_correlate_with_nothing(level):
    constant = np.full((2, 30, 50, 3), level, np.uint8)
    assert np.array_equal(score(metric_named("pixcorr"), constant, smooth_images(2)), [0.0, 0.0])
    assert np.array_equal(score(metric_named("pixcorr-v2"), constant, constant), [0.0, 0.0])
    similarity = score(metric_named("ssim"), constant, smooth_images(2))
    assert np.isfinite(similarity).all()
    assert (similarity < 0.9).all()
    assert score(metric_named("ssim"), constant, constant) == pytest.approx(np.ones(2), abs=1e-6)


def test_one_grey_level_in_one_pixel_is_contrast():
    image = np.full((1, 256, 256, 3), 200, np.uint8)
    image[0, 100, 100] += 1
    assert score(metric_named("pixcorr"), image, image) == pytest.approx([1.0], abs=1e-4)


def test_nan_pixels_are_not_scored_and_leave_the_others_alone():
    images = smooth_images(3).astype(np.float32) / 255
    broken = images.copy()
    broken[1, 5, 5] = np.nan
    for name in METRICS:
        values = score(metric_named(name), broken, images)
        assert np.isnan(values).tolist() == [False, True, False], name


def test_no_images_give_no_scores():
    nothing = np.empty((0, 64, 64, 3), np.uint8)
    for name in METRICS:
        assert score(metric_named(name), nothing, nothing).shape == (0,)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 64, 64), np.uint8), r"\(2, 64, 64\); expected \(n, height, width, 3\)"),
        (np.zeros((2, 64, 64, 4), np.uint8), r"\(2, 64, 64, 4\); expected"),
        (np.zeros((2, 64, 64, 3), np.int64), "type int64; expected uint8, or float"),
    ],
)
def test_images_of_another_shape_or_type_are_refused(images, message):
    for name in METRICS:
        with pytest.raises(DataError, match=message):
            metric_named(name).prepare(images)
