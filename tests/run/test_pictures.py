"""All images of a run as files: numbered, whole, and indexed with one hash."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
from PIL import Image

from harness.data import ImageSet
from harness.run.pictures import INDEX, picture_files

IDS = ("../../evil", "<b>", "c")


def test_files_are_numbered_by_the_index_and_small_ones_are_exact():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3)).astype(np.uint8)
    sets = {"stimulus": ImageSet.from_array(IDS, images), "part": ImageSet.from_array(IDS[:1], images[:1])}
    files = picture_files(IDS, sets)
    paths = [f"gallery/stimulus/0000{k}.png" for k in (1, 2, 3)]
    assert set(files) == {*paths, INDEX}
    for path, image in zip(paths, images):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(files[path]))), image)
    index = json.loads(files[INDEX])
    assert index["ids"] == list(IDS)
    assert index["paths"] == {"stimulus": paths}
    sha = hashlib.sha256()
    for path in paths:
        sha.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    assert index["sha"] == sha.hexdigest()
    assert picture_files(IDS, sets) == files


def test_large_images_are_reduced_and_compressed():
    noise = np.random.default_rng(1).random((1, 300, 600, 3), np.float32)
    files = picture_files(("a",), {"measured": ImageSet.from_array(("a",), noise)})
    picture = Image.open(io.BytesIO(files["gallery/measured/00001.webp"]))
    assert picture.size == (256, 128)
