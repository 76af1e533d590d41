"""Benchmark ``bold5000``: release 2 of BOLD5000, betas of GLMsingle in percent, in NIfTI by session."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.ids import stem
from harness.reading.prepared import Block
from harness.reading.texts import read_lines
from harness.reading.volumes import open_volume

from ..assembly import VoxelFacts
from .benchmark import LayoutBenchmark
from .manifest import header
from .recording import (
    Recording,
    in_order_shown,
    masked_facts,
    prepared,
    read_mask,
    read_masked,
    trials_of,
    with_voxels,
    without_gaps,
)

logger = logging.getLogger(__name__)

MISNAMED = {"LHLO": "LHLOC", "RHLO": "RHLOC", "RHRRSC": "RHRSC"}
"""Files of regions of CSI2 and CSI3 -> what they are called elsewhere."""

GROUPS = {"early": ("EarlyVis",), "higher": ("LOC", "OPA", "PPA", "RSC")}


class Bold5000(LayoutBenchmark):
    """4,916 pictures of ImageNet, COCO and scenes, 113 of them shown several times; Chang et al. 2019."""

    layout: ClassVar[str] = "bold5000"
    images_of: ClassVar[str] = "bold5000"
    default_test: ClassVar[str] = "repeated113"

    def read(self, root: Path, subject: str) -> Recording:
        """Trials of all sessions, named by the one list for all of them."""
        manifest = self.manifest()
        volume, mask = read_mask(manifest.entry("mask").file(root, subject=subject))
        files = without_gaps(manifest.entry("betas").find(root, subject=subject), subject)
        counts = [header(path)[0][-1] for path in files]
        shown = [
            stem(name.strip())
            for name in read_lines(manifest.entry("image_names").file(root, subject=subject))
        ]
        if len(shown) != sum(counts):
            raise DataError(
                f"{subject} has {sum(counts)} betas in {len(files)} sessions and a list of {len(shown)} "
                "pictures; all sessions are needed, since the list does not say where one ends"
            )
        source = prepared(
            [Block(count, partial(read_masked, path, mask)) for path, count in zip(files, counts)],
            [*files, volume.path],
            n_voxels=int(mask.sum()),
            what=f"BOLD5000 betas of {subject}",
            depends_on=("bold5000", np.flatnonzero(mask).tobytes()),
        )
        ids, index = in_order_shown(shown)
        folder = root / "BOLD5000_Stimuli" / "Scene_Stimuli" / "Presented_Stimuli"
        repeated = {stem(name.strip()) for name in read_lines(manifest.entry("repeated_images").file(root))}
        return Recording(
            trials_of(
                source,
                self.pictures(folder, ids),
                ids,
                index,
                session=np.repeat(np.arange(1, len(files) + 1), counts),
            ),
            self._facts(root, subject, mask, volume.affine),
            "percent",
            {"repeated113": tuple(name for name in ids if name in repeated)},
            mask="brain",
        )

    def _facts(self, root: Path, subject: str, mask: np.ndarray, affine: np.ndarray) -> VoxelFacts:
        rois: dict[str, np.ndarray] = {}
        for values, path in self.manifest().entry("regions").find(root, subject=subject):
            volume = open_volume(path)
            if volume.shape != mask.shape:
                logger.warning("%s is %s voxels and the betas %s; left out", path, volume.shape, mask.shape)
                continue
            name = MISNAMED.get(values["region"], values["region"])
            rois[name] = volume.read()[mask] > 0
        for area in sorted({name[2:] for name in rois if name[:2] in ("LH", "RH")}):
            rois[area] = np.any([rois[side + area] for side in ("LH", "RH") if side + area in rois], axis=0)
        groups = {
            group: np.any([rois[area] for area in areas if area in rois], axis=0)
            for group, areas in GROUPS.items()
            if any(area in rois for area in areas)
        }
        return masked_facts(mask, affine, with_voxels(rois), with_voxels(groups))
