"""Components of images: against scikit-learn, and all of them."""

from __future__ import annotations

import numpy as np
import pytest
from small_scenes import scenes

from harness.solvers import image_components
from harness.solvers.image_components import ImageComponents


@pytest.mark.parametrize("n", [40, 700])  # fewer and more images than pixel values
def test_components_equal_scikit_learn(n, monkeypatch):
    from sklearn.decomposition import PCA

    monkeypatch.setattr(image_components, "PIXEL_BLOCK_NUMBERS", 100 * n)
    images = np.random.default_rng(0).integers(0, 256, (n, 12, 16, 3), np.uint8)
    flat = images.reshape(n, -1) / 255
    reference = PCA(15, svd_solver="full").fit(flat)
    components = ImageComponents.fit(images, components=15)
    np.testing.assert_allclose(components.mean.reshape(-1), reference.mean_, atol=1e-6)
    product = np.abs(components.components @ reference.components_.T)
    np.testing.assert_allclose(product, np.eye(15), atol=1e-4)
    np.testing.assert_allclose(np.abs(components.embed(images)), np.abs(reference.transform(flat)), atol=1e-3)
    top = np.abs(components.components).argmax(axis=1)
    assert (components.components[np.arange(15), top] > 0).all()


def test_all_components_give_the_training_images_back():
    images = scenes(10, seed=3)
    components = ImageComponents.fit(images, components=256)
    assert len(components) == 9
    np.testing.assert_array_equal(components.render(components.embed(images)), images)
    doubled = ImageComponents.fit(np.concatenate([images, images]), components=256)
    assert len(doubled) == 9  # equal images add none
