"""Benchmark ``nsd-mindeye1``: NSD in MindEye1's archives, a sample per image with all its trials."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.image_files import read_image
from harness.reading.pixels import stacked
from harness.reading.prepared import Block
from harness.reading.resizing import Resize
from harness.reading.tars import Member, members

from ..assembly import VoxelFacts
from .benchmark import FOLDER, LayoutBenchmark
from .nsd_design import image_name
from .recording import Recording, prepared, trials_of

BETAS, PICTURE, IMAGE = "nsdgeneral.npy", "jpg", "coco73k.npy"
_SHARD = 64
"""Samples that are read at a time."""


@dataclass(frozen=True)
class TarImages:
    """Pictures that are read where they lie in their archives."""

    pictures: tuple[Member, ...]
    resize: Resize
    what: str

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) uint8 at `positions`."""
        images = []
        for k in positions:
            member = self.pictures[k]
            what = f"{member.key}.{member.name} of {member.path}"
            image = read_image(Path(what), member.content())
            images.append((what, self.resize.image(image, what=what)))
        return stacked(images, door=FOLDER)


class NsdMindEye1(LayoutBenchmark):
    """NSD, nsdgeneral, as ``webdataset_avg_split`` holds it; Scotti et al. 2023."""

    layout: ClassVar[str] = "nsd-mindeye1"
    images_of: ClassVar[str] = "nsd"
    default_test: ClassVar[str] = "shared982"

    def read(self, root: Path, subject: str) -> Recording:
        """The samples of all archives; those for validation train."""
        manifest = self.manifest()
        samples: list[dict[str, Member]] = []
        files, n_test = [], 0
        for name in ("training_samples", "validation_samples", "test_samples"):
            before = len(samples)
            for _, path in manifest.entry(name).find(root, subject=subject):
                files.append(path)
                samples += _by_sample(path)
            n_test = len(samples) - before
        numbers = [int(sample[IMAGE].array().ravel()[0]) for sample in samples]
        names = [image_name(k) for k in numbers]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise DataError(
                f"{root}: {len(twice)} images are in two samples of {subject}, for example {twice[0]}"
            )
        counts = np.array([sample[BETAS].shape()[0] for sample in samples])
        n_voxels = samples[0][BETAS].shape()[-1]
        groups = [samples[k : k + _SHARD] for k in range(0, len(samples), _SHARD)]
        blocks = [
            Block(int(counts[k : k + _SHARD].sum()), partial(_betas, group, n_voxels))
            for k, group in zip(range(0, len(samples), _SHARD), groups)
        ]
        source = prepared(
            blocks,
            files,
            n_voxels=n_voxels,
            what=f"NSD betas of {subject}",
            depends_on="nsd-mindeye1",
        )
        images = TarImages(
            tuple(sample[PICTURE] for sample in samples), self.params.resize(), f"pictures of {root.name}"
        )
        return Recording(
            trials_of(source, images, names, np.repeat(np.arange(len(samples)), counts)),
            VoxelFacts(),
            "zscore_session",
            {"shared982": tuple(names[len(names) - n_test :])},
            mask="nsdgeneral",
            normalised=True,
        )


def _by_sample(path: Path) -> list[dict[str, Member]]:
    samples: dict[str, dict[str, Member]] = {}
    for member in members(path):
        samples.setdefault(member.key, {})[member.name] = member
    for key, sample in samples.items():
        absent = [name for name in (BETAS, PICTURE, IMAGE) if name not in sample]
        if absent:
            raise DataError(f"{path}: sample {key} has no {absent[0]}; it holds {', '.join(sorted(sample))}")
    if not samples:
        raise DataError(f"{path} holds no sample")
    return list(samples.values())


def _betas(samples: list[dict[str, Member]], n_voxels: int) -> np.ndarray:
    trials = []
    for sample in samples:
        values = sample[BETAS].array()
        if values.ndim != 2 or values.shape[1] != n_voxels:
            member = sample[BETAS]
            raise DataError(
                f"{member.path}: {member.key}.{BETAS} has shape {values.shape}; expected (repeats, "
                f"{n_voxels})"
            )
        trials.append(values.astype(np.float32))
    return np.concatenate(trials)
