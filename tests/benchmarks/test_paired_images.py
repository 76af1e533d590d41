"""Benchmark `paired`: images of any layout, type and folder."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from paired_loading import COLOUR, GREY, load, same, save, small
from PIL import Image

from harness.errors import DataError


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


# Folders as people have them.


def folder_of(tmp_path, names, *, lost=(), ids=None, **params):
    """Six images saved below ``im`` under `names` but for the `lost` ones; the last two are test images."""
    for k, name in enumerate(names):
        if name not in lost:
            (tmp_path / "im" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(COLOUR[k]).save(tmp_path / "im" / name)
    file = save(tmp_path, y=np.random.default_rng(0).normal(size=(6, 4)))
    ids = list(names) if ids is None else ids
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    data = {"images": "im/", "responses": "y", "ids": "ids.txt"}
    return load(tmp_path, **file, **({"data": data, "test_ids": ids[4:]} | params))


CATEGORIES = [f"n{k % 2}/n{k % 2}_{k}.png" for k in range(6)]


@pytest.mark.parametrize(
    "ids", [CATEGORIES, [name[:-4] for name in CATEGORIES], [name[3:] for name in CATEGORIES]]
)
def test_images_in_category_folders(tmp_path, ids):
    data = folder_of(tmp_path, CATEGORIES, ids=ids)
    assert data.train.stimuli.ids == tuple(ids[:4])
    np.testing.assert_array_equal(data.train.stimuli.images(), COLOUR[:4])


def test_images_of_one_name_in_two_categories_need_the_folder(tmp_path):
    names = ["a/1.png", "b/1.png", "c/2.png", "c/3.png", "c/4.png", "c/5.png"]
    with pytest.raises(DataError, match=r"2 of 4 training images \('1', '9', did you mean '.*/1'\?\)"):
        folder_of(tmp_path, names, ids=["1", "2", "3", "9", "4", "5"])


@pytest.mark.parametrize("names", [CATEGORIES, [f"s{k}.png" for k in range(6)]])
def test_the_listing_that_is_advised_gives_the_ids(tmp_path, names):
    data = {"images": "im/", "responses": "y"}
    with pytest.raises(DataError, match="type: ") as caught:
        folder_of(tmp_path, names, data=data)
    command = re.search(r"type: (.+ > ids\.txt),", str(caught.value))[1]
    (tmp_path / "ids.txt").unlink()
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    ids = (tmp_path / "ids.txt").read_text().split()
    assert ids == sorted(names)
    order = [names.index(name) for name in ids]
    read = folder_of(tmp_path, names, ids=ids).train.stimuli
    np.testing.assert_array_equal(read.images(), COLOUR[order[:4]])


SIX = [f"s{k}.png" for k in range(6)]


@pytest.mark.parametrize("allowed", [True, ["s1", "s2", "s5"], ["s1.png", "s2.png"]])
def test_lost_training_images_are_left_out_by_name_on_request(tmp_path, allowed, caplog):
    whole = folder_of(tmp_path, SIX)
    for name in ("s1.png", "s2.png"):
        (tmp_path / "im" / name).unlink()
    with pytest.raises(DataError, match=r"2 of 4 training images \('s1.*'s2.*add allow_missing_images: true"):
        folder_of(tmp_path, SIX, lost=SIX[1:3])
    data = folder_of(tmp_path, SIX, lost=SIX[1:3], allow_missing_images=allowed)
    assert data.train.stimuli.ids == ("s0.png", "s3.png")
    np.testing.assert_array_equal(data.train.responses.trials(), whole.train.responses.trials()[[0, 3]])
    np.testing.assert_array_equal(data.train.stimuli.images(), COLOUR[[0, 3]])
    (warning,) = [record for record in caplog.records if hasattr(record, "flag")]
    assert warning.flag == "missing-training-images"
    assert "2 of 4 training images ('s1.png', 's2.png')" in warning.getMessage()  # no other's file is meant


def test_a_list_allows_no_other_image_to_be_lost(tmp_path):
    with pytest.raises(DataError, match=r"1 of 4 training images \('s2\.png'"):
        folder_of(tmp_path, SIX, lost=SIX[1:3], allow_missing_images=["s1"])


@pytest.mark.parametrize("lost", [SIX[5:], SIX[4:]])
def test_test_images_are_never_left_out(tmp_path, lost):
    with pytest.raises(DataError, match=rf"{len(lost)} of 2 test images .*a test image is never left out"):
        folder_of(tmp_path, SIX, lost=lost, allow_missing_images=True)


def test_when_all_training_images_are_lost_none_may_be(tmp_path):
    with pytest.raises(DataError, match="4 of 4 training images") as caught:
        folder_of(tmp_path, SIX, lost=SIX[:4], allow_missing_images=True)
    assert "allow_missing_images" not in str(caught.value)


def test_no_file_of_the_other_split_is_meant(tmp_path):
    """One folder for both splits, as most people have it; a file that is no one's is a guess."""
    given = {"images": "im/", "responses": "y.npy"}
    np.save(tmp_path / "y.npy", np.random.default_rng(0).normal(size=(3, 4)))
    for split, names in (("train", SIX[:3]), ("test", SIX[3:])):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    splits = {split: given | {"ids": f"{split}.txt"} for split in ("train", "test")}
    with pytest.raises(DataError, match=r"1 of 3 training images \('s1\.png'\); to leave"):
        folder_of(tmp_path, SIX, lost=SIX[1:2], data=None, test_ids=[], **splits)
    (tmp_path / "im" / "s01.png").write_bytes((tmp_path / "im" / "s0.png").read_bytes())
    with pytest.raises(DataError, match=r"1 of 3 training images \('s1\.png', did you mean 's01'\?\)"):
        folder_of(tmp_path, SIX, lost=SIX[1:2], data=None, test_ids=[], **splits)
