"""Benchmark `paired`: images of any layout, type and folder."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from test_paired import COLOUR, GREY, load, same, save, small


@pytest.mark.parametrize("axes", ["nhwc", "nchw", "hwcn", "cwhn", "hnwc"])
def test_colour_layouts(tmp_path, axes):
    data = small(tmp_path, COLOUR.transpose(["nhwc".index(a) for a in axes]), image_layout=axes)
    np.testing.assert_array_equal(data.train.stimuli.images(), COLOUR[:4])
    np.testing.assert_array_equal(data.test.stimuli.images(), COLOUR[4:])


@pytest.mark.parametrize("axes", ["nhw", "hwn", "whn"])
def test_grey_layouts_become_three_equal_channels(tmp_path, axes):
    data = small(tmp_path, GREY.transpose(["nhw".index(a) for a in axes]), image_layout=axes)
    np.testing.assert_array_equal(data.train.stimuli.images(), np.stack([GREY[:4]] * 3, -1))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_flattened_images(tmp_path, order, images):
    flat = np.array([image.ravel(order) for image in images])
    expected = images if images.ndim == 4 else np.stack([images] * 3, -1)
    shape = images.shape[1:]
    rows = small(tmp_path, flat, image_shape=shape, image_order=order)
    columns = small(tmp_path, flat.T, image_shape=shape, image_order=order, image_layout="flat-last")
    np.testing.assert_array_equal(rows.train.stimuli.images(), expected[:4])
    assert same(rows, columns)


def test_flattened_channels_first(tmp_path):
    flat = COLOUR.transpose(0, 3, 1, 2).reshape(6, -1)
    data = small(tmp_path, flat, image_shape=(3, 4, 5))
    np.testing.assert_array_equal(data.train.stimuli.images(), COLOUR[:4])


def test_images_are_read_in_any_order(tmp_path):
    data = small(tmp_path, COLOUR, image_layout="nhwc")
    ids = data.train.stimuli.ids
    np.testing.assert_array_equal(data.train.stimuli.images([ids[2], ids[0]]), COLOUR[[2, 0]])


def test_image_max(tmp_path):
    as_float = small(tmp_path, COLOUR.astype(float), image_layout="nhwc", image_max=255).train.stimuli
    np.testing.assert_array_equal(as_float.images(), (COLOUR[:4] / 255).astype(np.float32))
    as_int = small(tmp_path, COLOUR.astype(np.int16), image_layout="nhwc", image_max=255).train.stimuli
    np.testing.assert_array_equal(as_int.images(), COLOUR[:4])
    wide = small(tmp_path, COLOUR.astype(np.uint16) * 257, image_layout="nhwc", image_max=65535)
    np.testing.assert_array_equal(wide.train.stimuli.images(), as_float.images())
    logical = small(tmp_path, GREY > 99, image_layout="nhw").train.stimuli.images()
    np.testing.assert_array_equal(logical[..., 0], (GREY[:4] > 99) * np.uint8(255))


def test_folder_of_images_by_id(tmp_path):
    folder = tmp_path / "stimuli"
    folder.mkdir()
    for k in range(6):
        if k % 2:
            Image.fromarray(COLOUR[k]).save(folder / f"scene{k}.png")
        else:
            Image.fromarray(GREY[k]).save(folder / f"scene{k}.PNG")
    order = [3, 0, 5, 1, 2, 4]
    file = save(tmp_path, y=np.random.default_rng(0).normal(size=(6, 4)))
    (tmp_path / "ids.txt").write_text("".join(f"scene{k}\n" for k in order))
    data = load(
        tmp_path,
        **file,
        data={"images": "stimuli/", "responses": "y", "ids": "ids.txt"},
        test_ids=["scene4", "scene1"],
    )
    assert data.train.stimuli.ids == ("scene3", "scene0", "scene5", "scene2")
    expected = [COLOUR[k] if k % 2 else np.stack([GREY[k]] * 3, -1) for k in (3, 0, 5, 2)]
    np.testing.assert_array_equal(data.train.stimuli.images(), expected)
    y = np.load(tmp_path / "a.npz")["y"].astype(np.float32)
    np.testing.assert_array_equal(data.test.responses.trials(), y[[3, 5]])
    assert data.test.responses.ids == ("scene1", "scene4")


def test_folder_of_images_named_by_the_trials(tmp_path):
    folder = tmp_path / "stimuli"
    folder.mkdir()
    for k in range(6):
        Image.fromarray(COLOUR[k]).save(folder / f"{k}.png")
    shown = np.array([5.0, 2, 5, 0, 3, 3, 2])
    file = save(tmp_path, y=np.random.default_rng(0).normal(size=(7, 4)), t=shown)
    data = load(
        tmp_path,
        **file,
        data={"images": "stimuli/", "responses": "y", "image_ids": "t"},
        test_ids=[3, 2],
    )
    assert data.train.stimuli.ids == ("5", "0")
    assert data.train.responses.image_index.tolist() == [0, 0, 1]
    assert data.test.stimuli.ids == ("2", "3")
    assert data.test.responses.counts().tolist() == [2, 2]
    np.testing.assert_array_equal(data.test.stimuli.images(), COLOUR[[2, 3]])
