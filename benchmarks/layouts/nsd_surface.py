"""Benchmark ``nsd-fsaverage``: NSD's betas on the fsaverage surface, in percent as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import CeilingSource, DataError
from harness.reading.prepared import Block
from harness.reading.volumes import open_volume

from ..assembly import VoxelFacts
from .benchmark import LayoutBenchmark
from .nsd import Nsd, regions, stimuli, stream_groups
from .nsd_design import Design, image_name
from .recording import Recording, prepared, trials_of, without_gaps

SIDES = ("left", "right")

FSAVERAGE = 163_842
"""Vertices of one half of fsaverage."""


class NsdFsaverage(LayoutBenchmark):
    """Vertices of ``nsdgeneral`` on fsaverage, left then right; Allen et al. 2022."""

    layout: ClassVar[str] = "nsd-fsaverage"
    images_of: ClassVar[str] = "nsd"
    default_test: ClassVar[str] = Nsd.default_test

    def read(self, root: Path, subject: str) -> Recording:
        """Trials of all sessions that are there for both sides."""
        manifest = self.manifest()
        design = Design.read(manifest, root)
        masks, files = [], []
        for side in SIDES:
            masks.append(open_volume(manifest.entry(f"{side}_mask").file(root)).read().ravel() > 0)
            listed = manifest.entry(f"{side}_betas").find(root, subject=subject)
            files.append(without_gaps(listed, f"{subject}, {side},"))
        if len(files[0]) != len(files[1]):
            raise DataError(
                f"{subject} has {len(files[0])} left sessions and {len(files[1])} right ones; both sides "
                "need the same"
            )
        pairs = list(zip(*files))
        per_session = open_volume(pairs[0][0]).shape[-1]
        source = prepared(
            [Block(per_session, partial(_read, pair, masks)) for pair in pairs],
            [path for pair in pairs for path in pair],
            n_voxels=int(sum(mask.sum() for mask in masks)),
            what=f"NSD betas of {subject} on fsaverage",
            depends_on=("nsd-fsaverage", *(np.flatnonzero(mask).tobytes() for mask in masks)),
        )
        trials = np.arange(source.shape[0])
        images = stimuli(manifest, root, self)
        names = [image_name(k) for k in range(len(images))]
        session = trials // per_session + 1
        test_sets = design.test_sets(per_session)
        return Recording(
            trials_of(source, images, names, design.shown(subject, trials), session=session),
            self._facts(root, subject, masks),
            "percent",
            test_sets,
            mask="nsdgeneral-fsaverage",
            training_sets=design.training_sets(subject, test_sets),
        )

    def _facts(self, root: Path, subject: str, masks: list[np.ndarray]) -> VoxelFacts:
        manifest = self.manifest()
        names = {values["atlas"]: path for values, path in manifest.entry("region_names").find(root)}
        by_atlas = [dict(_by_atlas(manifest.entry(f"{side}_regions").find(root))) for side in SIDES]
        rois, groups = {}, {}
        for atlas in sorted(set(by_atlas[0]) & set(by_atlas[1]) - {"nsdgeneral"}):
            sides = [open_volume(paths[atlas]).read().ravel() for paths in by_atlas]
            labels = np.concatenate([side[mask] for side, mask in zip(sides, masks)])
            rois |= regions(labels, atlas, names.get(atlas))
            if atlas == "streams":
                groups = stream_groups(labels)
        ncsnr, source = None, None
        given = [manifest.entry(f"{side}_ncsnr").find(root, subject=subject) for side in SIDES]
        if all(given):
            sides = [open_volume(files[0][1]).read().ravel() for files in given]
            ncsnr = np.concatenate([side[mask] for side, mask in zip(sides, masks)]).astype(np.float64)
            source = CeilingSource("ncsnr of the data set (lh.ncsnr.mgh, rh.ncsnr.mgh)")
        vertices = [np.flatnonzero(mask).astype("<i8").tobytes() for mask in masks]
        return VoxelFacts(
            rois, groups, ncsnr, source, identity=b"|".join(vertices), vertices=vertex_numbers(masks)
        )


def vertex_numbers(masks: Sequence[np.ndarray]) -> np.ndarray | None:
    """(V,) numbers of the vertices in the left and the right mask on fsaverage; None on another mesh."""
    if any(len(mask) != FSAVERAGE for mask in masks):
        return None
    return np.flatnonzero(np.concatenate(masks))


def _by_atlas(pairs: list) -> list[tuple[str, Path]]:
    return [(values["atlas"], path) for values, path in pairs]


def _read(pair: tuple[Path, Path], masks: list[np.ndarray]) -> np.ndarray:
    """(trials, V) float32 percent signal change of one session."""
    sides = []
    for path, mask in zip(pair, masks):
        values = open_volume(path).read()
        sides.append(values.reshape(len(mask), -1)[mask].T)
    return np.concatenate(sides, axis=1).astype(np.float32)
