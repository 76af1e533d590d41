"""Resizing: its definition in float64, how near torchvision is; the same on any device and thread count."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resize_reference import coordinate_rounding, reference, torch_threads
from torchvision.transforms import Resize

from harness.api import DataError
from harness.backbones.catalogue import PREPROCESSING
from harness.nn.resize import resize, resize_planes, tap_by_tap, unit_range

BILINEAR = sorted(
    name for name, row in PREPROCESSING.items() if (row.filter, row.by) == ("bilinear", "planes")
)


def noise(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random(shape).astype(dtype)


def as_planes(images):
    return torch.from_numpy(np.moveaxis(images, -1, 1).copy())


SIZES = [(256, 256), (37, 90), (425, 20), (255, 255), (1, 3)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(2, 50, 120, 3), (1, 300, 330, 3), (1, 255, 1024, 1)])
def test_resize_is_the_arithmetic_in_float64(dtype, antialias, size, shape):
    """On every processor: no kernel of torch's has a say in it."""
    images = noise(*shape, dtype=dtype)
    atol = 1e-6 if dtype is np.float32 else 5e-15
    resized = resize(images, size, antialias=antialias)
    assert resized.dtype == dtype
    np.testing.assert_allclose(resized, reference(images, size, antialias=antialias), rtol=0, atol=atol)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_torchvision_is_as_near_as_its_own_kernels_are_to_each_other(antialias, size, dtype, threads):
    images = noise(2, 50, 120, 3, dtype=dtype)
    with torch_threads(threads):
        expected = np.moveaxis(Resize(size, antialias=antialias)(as_planes(images)).numpy(), 1, -1)
    atol = coordinate_rounding(50, 120, dtype=dtype)
    np.testing.assert_allclose(resize(images, size, antialias=antialias), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [256, 510, 512, 1024])  # rows of 2,048 bytes are turned in strips, or not
def test_resize_of_grey_images_in_strips_and_whole(width, dtype):
    grey = noise(2, 70, width, 1, seed=width, dtype=dtype)
    resized = resize(grey, (55, 90), antialias=False)
    atol = 1e-6 if dtype is np.float32 else 5e-15
    np.testing.assert_allclose(resized, reference(grey, (55, 90), antialias=False), rtol=0, atol=atol)


def test_antialiasing_counts_every_pixel_when_reducing():
    images = np.zeros((1, 64, 64, 3), np.float32)
    images[0, ::8] = 1.0  # one row in eight
    assert resize(images, (8, 8), antialias=True).mean() == pytest.approx(1 / 8, abs=0.01)
    assert resize(images, (8, 8), antialias=False).max() == 0.0


@given(
    sides=st.tuples(*[st.integers(1, 60)] * 4),
    antialias=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=30, deadline=None)
def test_tap_by_tap_is_the_same_resize(sides, antialias, dtype):
    height, width, *size = sides
    images = noise(2, height, width, 3, seed=height, dtype=dtype)
    expected = as_planes(resize(images, size, antialias=antialias))
    atol = 5e-7 if dtype is np.float32 else 1e-15
    for resized in (
        tap_by_tap(as_planes(images), size, antialias=antialias),
        resize_planes(as_planes(images), size, antialias=antialias),
    ):
        assert resized.dtype == expected.dtype
        torch.testing.assert_close(resized, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", BILINEAR)
def test_network_inputs_do_not_depend_on_threads(name):
    """Of noise of 1024 px, where torch's kernels for one thread and for two are up to 3e-5 apart."""
    images = noise(1, 1024, 1024, 3)
    inputs = []
    for threads in (1, 2):
        with torch_threads(threads):
            inputs.append(PREPROCESSING[name].apply(images))
    assert torch.equal(*inputs)


def test_network_inputs_are_what_the_pixel_metrics_resize():
    row, images = PREPROCESSING["efficientnet-v1"], noise(2, 300, 400, 3)
    expected = resize(resize(images, (256, 256), antialias=False), (255, 255), antialias=False)
    expected = (expected - np.float32(row.statistics.mean)) / np.float32(row.statistics.sd)
    np.testing.assert_allclose(row.apply(images).movedim(1, -1), expected, rtol=0, atol=1e-6)


def test_images_of_the_wanted_size_are_left_alone():
    images = noise(1, 20, 30, 3)
    assert resize(images, (20, 30), antialias=True) is images
    planes = as_planes(images)
    assert resize_planes(planes, (20, 30), antialias=True).data_ptr() == planes.data_ptr()
    assert tap_by_tap(planes, (20, 30), antialias=True) is planes


def test_bytes_become_floats_and_other_types_are_refused():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    np.testing.assert_array_equal(unit_range(levels), levels / np.float32(255))
    with pytest.raises(DataError, match="type int64; expected uint8, or float"):
        unit_range(levels.astype(np.int64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("antialias", [False, True])
def test_resize_on_a_card_equals_the_processors(antialias):
    planes = as_planes(noise(4, 512, 500, 3))
    for size in ((256, 256), (425, 425), (255, 224)):
        resized = resize_planes(planes.cuda(), size, antialias=antialias)
        assert resized.is_cuda
        expected = resize_planes(planes, size, antialias=antialias)
        torch.testing.assert_close(resized.cpu(), expected, rtol=0, atol=5e-7)
