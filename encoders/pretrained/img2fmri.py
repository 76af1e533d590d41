"""img2fmri 1.0: ResNet-18 features -> responses of five regions of three BOLD5000 subjects.

Bennett and Baldassano (PyPI ``img2fmri``, MIT licence): scikit-learn ridges from the 512 pooled features of
torchvision's ResNet-18 to the voxels of EarlyVis, OPA, LOC, RSC and PPA in each subject's own space, fitted
on BOLD5000.  Equal: features, weights, order of voxels (left before right hemisphere, as the package's
masks have them).  Left out: what the package does next, warping with AFNI and FSL to MNI space, smoothing
and averaging over subjects; predictions are in each subject's space.  The weights are pickles and are read
through a whitelist; nothing of the package is imported, so none of its dependencies is needed.  A voxel in
two regions has two entries.  What units its training responses had is not said; no noise ceiling was
published with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.api import DataError, Features, Stimuli, VoxelSpace, check_ranges
from harness.reading.pickled_arrays import read_pickled_arrays

from .base import PretrainedEncoder, package_folder

REGIONS = ("EarlyVis", "OPA", "LOC", "RSC", "PPA")
"""In the order of the package's table of sizes."""

GROUPS = {"early": ("EarlyVis",), "higher": ("LOC", "OPA", "PPA", "RSC")}

FEATURES = 512

RIDGE = "sklearn.linear_model._ridge.Ridge"
"""The one class that a file of weights may name besides numpy's arrays."""

GET = (
    "img2fmri's weights are not in {place}. Type: pip install --no-deps img2fmri==1.0 (62 MB, MIT "
    "licence; nothing "
    "of it is imported), or give the folder img2fmri of its unpacked wheel: --set encoder.folder=FOLDER"
)


class Img2fmriEncoder(PretrainedEncoder):
    """Images -> responses of one BOLD5000 subject's regions, by published ridge weights."""

    name = "img2fmri"
    takes: ClassVar[str] = "subject"

    @dataclass(frozen=True)
    class Params:
        """subject : 1, 2 or 3 (CSI1 to CSI3).  folder : ``img2fmri`` of its wheel; empty: as installed."""

        subject: int = 1
        folder: str = ""

        def __post_init__(self) -> None:
            check_ranges(self, {"subject": (1, 3)}, section="encoder")

    def wants(self) -> Sequence[tuple[str, str]]:
        """The pooled layer of ResNet-18."""
        return (("resnet18", "avgpool"),)

    def training_sets(self) -> Sequence[str]:
        """BOLD5000, all of it."""
        return ("bold5000",)

    @staticmethod
    def missing(params: Any, *, subject: str) -> tuple[str, ...]:
        """The weights of the subject, where one of their files is not there."""
        folder = _folder(params)
        files = [] if folder is None else [*_models(folder, params.subject), _table(folder)]
        if files and all(file.is_file() for file in files):
            return ()
        return (GET.format(place=folder or "this Python"),)

    def identity(self) -> str:
        """SHA-256 of the files that are read."""
        folder = self._place()
        files = [*_models(folder, self.params.subject), _table(folder)]
        return hashlib.sha256(b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)).hexdigest()

    def own_space(self) -> VoxelSpace:
        """The regions' voxels one after the other, left before right."""
        sides = self._sides
        ends = np.cumsum([0, *(count for pair in sides.values() for count in pair)])
        rois: dict[str, np.ndarray] = {}
        for k, region in enumerate(REGIONS):
            for side, first in (("LH", ends[2 * k]), ("RH", ends[2 * k + 1])):
                members = np.zeros(ends[-1], bool)
                members[first : first + sides[region][side == "RH"]] = True
                rois[side + region] = members
            rois[region] = rois["LH" + region] | rois["RH" + region]
        groups = {group: np.any([rois[area] for area in areas], axis=0) for group, areas in GROUPS.items()}
        return VoxelSpace(
            *("bold5000", f"CSI{self.params.subject}", "img2fmri", int(ends[-1]), "raw", f"img2fmri-{sides}"),
            rois=rois,
            groups=groups,
        )

    def respond(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V) float32."""
        weights, intercept = self._read_out
        pooled = np.asarray(features.layer("resnet18", "avgpool", stimuli), np.float32)
        return pooled @ weights.T + intercept

    def _place(self) -> Path:
        self.require(None)
        return _folder(self.params)

    @cached_property
    def _sides(self) -> dict[str, tuple[int, int]]:
        """Region -> numbers of voxels, left and right."""
        table = np.load(_table(self._place()), allow_pickle=False)
        if table.shape != (3, len(REGIONS), 2):
            raise DataError(
                f"{_table(self._place())} has shape {table.shape}; expected (3, {len(REGIONS)}, 2)"
            )
        return {
            region: (int(left), int(right))
            for region, (left, right) in zip(REGIONS, table[self.params.subject - 1])
        }

    @cached_property
    def _read_out(self) -> tuple[np.ndarray, np.ndarray]:
        """(V, 512) weights and (V,) intercepts, float32."""
        parts = []
        for region, file in zip(REGIONS, _models(self._place(), self.params.subject)):
            held = read_pickled_arrays(file, of=RIDGE, names=("coef_", "intercept_"))
            voxels = sum(self._sides[region])
            if held["coef_"].shape != (voxels, FEATURES) or held["intercept_"].shape != (voxels,):
                raise DataError(
                    f"{file} holds weights {held['coef_'].shape}; expected ({voxels}, {FEATURES}) of {region}"
                )
            parts.append(held)
        return tuple(
            np.concatenate([part[key] for part in parts]).astype(np.float32)
            for key in ("coef_", "intercept_")
        )


def _folder(params: Any) -> Path | None:
    return Path(params.folder).expanduser() if params.folder else package_folder("img2fmri")


def _models(folder: Path, subject: int) -> list[Path]:
    return [folder / "models" / f"subj{subject}_{region}_model.pkl" for region in REGIONS]


def _table(folder: Path) -> Path:
    return folder / "derivatives" / "shape_array.npy"
