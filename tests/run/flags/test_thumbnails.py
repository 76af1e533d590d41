"""Small copies of images, and which of them are near."""

from __future__ import annotations

import numpy as np
from toys import scenes

from harness.benchmarks.scenes import draw
from harness.run.flags.small_copies import small_copies
from harness.run.flags.thumbnails import near_duplicates, near_pairs


def test_what_is_no_near_duplicate():
    scene = small_copies(draw("test", range(30)))
    assert (near_duplicates(small_copies(draw("train", range(400))), scene) == -1).all()
    flat = small_copies(np.full((3, 32, 32, 3), [[[[10]]], [[[100]]], [[[101]]]], np.uint8))
    assert (near_duplicates(flat, flat) == -1).all()
    moved = scene[:1].copy()
    moved[0, 4:6, 4:6] += 0.3  # a small thing that was not there
    assert (near_duplicates(scene[:1], moved) == -1).all()
    assert near_duplicates(scene, scene).tolist() == list(range(30))
    assert not len(near_pairs(scene))
    assert near_pairs(np.concatenate([scene, scene[4:6] * 0.7])).tolist() == [[4, 30], [5, 31]]
    assert (near_duplicates(scene[:, :8], scene) == -1).all()  # of another shape


def test_copies_of_any_size_and_type():
    images = scenes(3, seed=0)
    assert small_copies(images).shape == (3, 8, 8)
    large = np.repeat(np.repeat(images, 5, axis=1), 5, axis=2)
    halves = small_copies(large).reshape(3, 8, 2, 8, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(halves, small_copies(images), atol=0.2)
    np.testing.assert_allclose(
        small_copies(large)[:, ::15, ::15], small_copies(images)[:, ::7, ::7], atol=1e-6
    )
    np.testing.assert_allclose(small_copies(large / 255.0), small_copies(large), atol=1e-6)
    odd = np.full((1, 37, 53, 3), 51, np.uint8)
    np.testing.assert_allclose(small_copies(odd), 0.2, atol=1e-6)
