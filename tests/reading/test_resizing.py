"""Images brought to one size by a named filter, and only in a named way to another shape."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import ConfigError, DataError
from harness.reading.resizing import FILTERS, Resize

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


@pytest.mark.parametrize("how", FILTERS)
def test_floats_are_resized_as_bytes_are_and_stay_in_range(how):
    resize = Resize((6, 8), how)
    small = resize.image(IMAGE, what="a")
    assert small.shape == (6, 8, 3)
    assert small.dtype == np.uint8
    floating = resize.image((IMAGE / 255).astype(np.float32), what="a")
    assert floating.dtype == np.float32
    np.testing.assert_allclose(floating * 255, small, atol=1.01)  # Pillow rounds bytes twice
    edges = np.zeros((8, 8, 3), np.float32)
    edges[:, 3:5] = 1
    large = Resize((32, 32), how).image(edges, what="a")
    assert large.min() >= 0
    assert large.max() <= 1


def test_area_is_the_mean_of_the_pixels_covered():
    blocks = IMAGE.reshape(6, 2, 8, 2, 3).astype(float).mean(axis=(1, 3))
    np.testing.assert_allclose(Resize((6, 8), "area").image(IMAGE, what="a"), blocks, atol=1.01)


def test_an_image_of_that_size_is_left_alone():
    assert Resize((12, 16), "lanczos").image(IMAGE, what="a") is IMAGE
    assert Resize().image(IMAGE, what="a") is IMAGE


def test_another_shape_needs_a_word():
    with pytest.raises(
        DataError, match=r"a\.png is 12 x 16 pixels, another shape than .*image_fit: center-crop"
    ):
        Resize((8, 8), "area").image(IMAGE, what="a.png")
    wide = np.repeat(np.array([0, 0, 200, 200, 200, 200, 0, 0], np.uint8), 2)
    wide = np.broadcast_to(wide[None, :, None], (8, 16, 3)).copy()
    assert (Resize((4, 4), "area", "center-crop").image(wide, what="a") == 200).all()
    np.testing.assert_array_equal(
        Resize((4, 4), "area", "stretch").image(wide, what="a")[0, :, 0], [0, 200, 200, 0]
    )
    # Sizes of one shape that were rounded to whole pixels are one shape.
    assert Resize((6, 8), "area").image(IMAGE[:11, :15], what="a").shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (((), "area", ""), "need image_resize"),
        (((), "", "stretch"), "need image_resize"),
        (((8,), "area", ""), r"image_resize is \[8\]; expected \[height, width\]"),
        (((8, 0), "area", ""), r"image_resize is \[8, 0\]"),
        (((8, 8), "", ""), "needs image_filter: and one of lanczos, bicubic, bilinear, area"),
        (((8, 8), "cubic", ""), "image_filter.*bicubic"),
        (((8, 8), "area", "crop"), "image_fit.*center-crop"),
    ],
)
def test_what_is_half_said_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Resize(*given)
