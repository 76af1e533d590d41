"""PixCorr at the size that images have."""

from __future__ import annotations

import numpy as np

from harness.metrics.pixel_native import pixcorr, prepare_pixcorr


def test_is_the_correlation_of_the_pixels():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 9, 3)).astype(np.uint8)
    result, target = (prepare_pixcorr(part) for part in images)
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*images)]
    np.testing.assert_allclose(pixcorr(result, target), expected, atol=1e-12)
    floats = prepare_pixcorr(images[0].astype(np.float32) / 255)
    np.testing.assert_allclose(pixcorr(floats, result), 1, atol=1e-6)


def test_a_constant_image_correlates_with_nothing():
    grey = prepare_pixcorr(np.full((1, 4, 4, 3), 128, np.uint8))
    assert pixcorr(grey, grey) == 0


def test_another_size_is_brought_to_that_of_the_stimulus():
    small = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3)).astype(np.uint8)
    large = np.repeat(np.repeat(small, 4, axis=1), 4, axis=2)
    assert (pixcorr(prepare_pixcorr(large), prepare_pixcorr(small)) > 0.9).all()
