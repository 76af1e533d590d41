"""All images of a run as files, for a page that loads each when it comes into sight.

Files (``gallery/ROW/00001.png``) are numbered in the order of the index, ``gallery.json``: an id may be
anything, a file name may not.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping

import numpy as np

from ..data import ImageSet
from .gallery import thumbnail

INDEX, FOLDER = "gallery.json", "gallery"

PICTURED = ("stimulus", "measured", "predicted", "reconstructions", "generator-ceiling")
"""Rows of which all images are kept."""

LOSSLESS = 96
"""Images up to this side are kept exactly (PNG); bigger ones are WebP."""

BLOCK = 64
"""Images read at a time."""


def picture_files(ids: tuple[str, ...], sets: Mapping[str, ImageSet]) -> dict[str, bytes]:
    """Path in the run's folder -> content, of the images `ids` of all `sets` that have them, and the index.

    The index holds ``ids``, for each row its ``paths`` in their order, and ``sha``, a hash of all of them.
    """
    files: dict[str, bytes] = {}
    paths: dict[str, list[str]] = {}
    for row, images in sets.items():
        if not set(ids) <= set(images.ids):
            continue
        paths[row] = []
        for start in range(0, len(ids), BLOCK):
            for image in images.images(ids[start : start + BLOCK]):
                ending, content = _encoded(thumbnail(image))
                paths[row].append(f"{FOLDER}/{row}/{len(paths[row]) + 1:05d}.{ending}")
                files[paths[row][-1]] = content
    sha = hashlib.sha256()
    for path, content in files.items():
        sha.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    index = {"ids": list(ids), "paths": paths, "sha": sha.hexdigest()}
    return {**files, INDEX: json.dumps(index, ensure_ascii=True).encode()}


def _encoded(image: np.ndarray) -> tuple[str, bytes]:
    from PIL import Image

    picture, buffer = Image.fromarray(np.ascontiguousarray(image)), io.BytesIO()
    if max(picture.size) <= LOSSLESS:
        picture.save(buffer, format="PNG")
        return "png", buffer.getvalue()
    picture.save(buffer, format="WEBP", quality=82, method=2)
    return "webp", buffer.getvalue()
