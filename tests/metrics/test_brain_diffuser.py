"""Brain-Diffuser's PixCorr and SSIM, against numpy and scikit-image called as its scripts call it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from harness.metrics.brain_diffuser import SIDE, column_ssim, pixcorr, prepare_pixcorr, prepare_ssim, ssim


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Two images (2, 64, 64, 3) each: blurry reconstructions and their targets."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 256, (2, 16, 16, 3)).repeat(4, axis=1).repeat(4, axis=2)
    results = np.clip(targets + rng.integers(-60, 60, targets.shape), 0, 255)
    return results.astype(np.uint8), targets.astype(np.uint8)


def at_425(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def test_pixcorr_is_the_correlation_at_425_pixels(pairs):
    results, targets = pairs
    expected = [np.corrcoef(at_425(a).ravel(), at_425(b).ravel())[0, 1] for a, b in zip(results, targets)]
    np.testing.assert_allclose(pixcorr(*map(prepare_pixcorr, pairs)), expected, atol=2e-6)


def test_ssim_is_scikit_images_with_columns_for_channels(pairs):
    """What ``multichannel=True`` made of a grey image (scikit-image 0.17)."""
    expected = []
    for result, target in zip(*pairs):
        grey = [rgb2gray(at_425(image) / 255.0) for image in (result, target)]
        expected.append(
            structural_similarity(
                *grey,
                channel_axis=-1,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=1.0,
            )
        )
    ours = ssim(*map(prepare_ssim, pairs))
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    assert column_ssim(*(prepare_ssim(side)["grey"][0] for side in pairs)) == ours[0]


def test_an_image_has_1_with_itself_and_a_constant_one_correlates_with_nothing(pairs):
    results, _ = pairs
    flat = np.full_like(results, 90)
    assert pixcorr(prepare_pixcorr(results), prepare_pixcorr(results)) == pytest.approx(1, abs=1e-6)
    assert ssim(prepare_ssim(results), prepare_ssim(results)) == pytest.approx(1)
    assert (pixcorr(prepare_pixcorr(flat), prepare_pixcorr(results)) == 0).all()
    assert (ssim(prepare_ssim(flat), prepare_ssim(results)) < 0.5).all()


def test_columns_are_averaged_along_no_other_axis(pairs):
    grey = [prepare_ssim(side)["grey"][0][:60, :40] for side in pairs]
    columns = [column_ssim(grey[0][:, [k]], grey[1][:, [k]]) for k in range(40)]
    assert column_ssim(*grey) == pytest.approx(np.mean(columns))
    assert abs(column_ssim(*grey) - column_ssim(grey[0].T, grey[1].T)) > 1e-3
