"""Scenes of a training namespace with what is in them, drawn once and kept in a cache folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.api import image_sha
from harness.benchmarks.scenes import BACKGROUNDS, CATEGORIES, COLORS, SIZES, Scene, describe, draw

GRID = 8
HELD_OUT = 1_000_000
"""First index of the held-out scenes of a namespace; training scenes start at 0."""


@dataclass(frozen=True)
class DrawnScenes:
    """Images (n, 64, 64, 3) uint8 and their scenes."""

    images: np.ndarray
    scenes: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)

    @cached_property
    def captions(self) -> list[str]:
        return [scene.caption for scene in self.scenes]

    @cached_property
    def category(self) -> np.ndarray:
        """(n,) category of the main object."""
        return np.array([CATEGORIES.index(scene.category) for scene in self.scenes])

    @cached_property
    def background(self) -> np.ndarray:
        """(n,) background."""
        return np.array([BACKGROUNDS.index(scene.background) for scene in self.scenes])

    @cached_property
    def color(self) -> np.ndarray:
        """(n,) colour of the main object."""
        return np.array([COLORS.index(scene.objects[0].color) for scene in self.scenes])

    @cached_property
    def size(self) -> np.ndarray:
        """(n,) size of the main object."""
        return np.array([SIZES.index(scene.objects[0].size) for scene in self.scenes])

    @cached_property
    def place(self) -> np.ndarray:
        """(n, 2) centre of the main object, -1 to 1."""
        return np.array([[s.objects[0].x / 32 - 1, s.objects[0].y / 32 - 1] for s in self.scenes], np.float32)

    @cached_property
    def presence(self) -> np.ndarray:
        """(n, 10) whether a category occurs."""
        out = np.zeros((len(self), len(CATEGORIES)), np.float32)
        for row, scene in zip(out, self.scenes):
            row[[CATEGORIES.index(item.category) for item in scene.objects]] = 1
        return out

    @cached_property
    def pairs(self) -> np.ndarray:
        """(n, 90) whether a category occurs in a colour."""
        out = np.zeros((len(self), len(CATEGORIES), len(COLORS)), np.float32)
        for row, scene in zip(out, self.scenes):
            for item in scene.objects:
                row[CATEGORIES.index(item.category), COLORS.index(item.color)] = 1
        return out.reshape(len(self), -1)

    @cached_property
    def layout(self) -> np.ndarray:
        """(n, 8, 8) category of the nearest object over the middle of each patch, 10 for none."""
        middle = (np.arange(GRID) + 0.5) * 64 / GRID
        out = np.full((len(self), GRID, GRID), len(CATEGORIES), np.int64)
        for cells, scene in zip(out, self.scenes):
            for item in sorted(scene.objects, key=lambda each: each.order):
                distance = np.hypot(middle[None, :] - item.x, middle[:, None] - item.y)
                cells[distance <= max(item.radius * 0.8, 5.0)] = CATEGORIES.index(item.category)
        return out

    @cached_property
    def hashes(self) -> list[str]:
        """Content hash of every image, as benchmarks hash theirs."""
        return [image_sha(image) for image in self.images]

    @property
    def sha(self) -> str:
        """Hash of all images, in order."""
        return hashlib.sha256("".join(self.hashes).encode()).hexdigest()


def training_scenes(namespace: str, count: int, *, cache: Path, first: int = 0) -> DrawnScenes:
    """Scenes `first` .. `first` + `count` - 1 of `namespace`; images are memory-mapped from `cache`."""
    indices = range(first, first + count)
    file = cache / f"{namespace}-{first}-{count}.npy"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npy")
        np.save(part, draw(namespace, indices), allow_pickle=False)
        part.replace(file)
    return DrawnScenes(np.load(file, mmap_mode="r", allow_pickle=False), describe(namespace, indices))
