"""Benchmark ``god``: Generic Object Decoding and its kin in bdpy's BData files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.arrays import MemoryArray, as_names, open_array
from harness.reading.ids import as_id

from ..assembly import VoxelFacts
from .benchmark import LayoutBenchmark, chosen_trials
from .recording import Recording, in_order_shown, trials_of

TRAIN, TEST = 1, 2
"""Values of ``DataType``; 3 is imagery, where no image was shown."""

_IMAGE_KINDS = ("Label", "stimulus_id", "image_index", "ImageID")
_SESSION_KINDS = ("Session", "Run")
_COORDINATES = ("voxel_x", "voxel_y", "voxel_z")


class GenericObjectDecoding(LayoutBenchmark):
    """1,200 training images shown once and 50 test images shown often; Horikawa and Kamitani 2017."""

    layout: ClassVar[str] = "god"
    images_of: ClassVar[str] = "god"
    default_test: ClassVar[str] = "test50"
    normalise: ClassVar[str] = "zscore"

    def read(self, root: Path, subject: str) -> Recording:
        """Samples of training and test; those of imagery are left out."""
        path = self.manifest().entry("responses").file(root, subject=subject)
        data = open_array(path, "dataset").read()
        keys = as_names(open_array(path, "metadata/key"))
        kinds = dict(zip(keys, open_array(path, "metadata/value").read()))

        def columns(name: str) -> np.ndarray:
            if name not in kinds:
                raise DataError(f"{path} has no kind of column '{name}'; it has {', '.join(keys)}")
            return np.flatnonzero(np.nan_to_num(kinds[name]) == 1)

        def only_column(name: str) -> np.ndarray:
            if len(columns(name)) != 1:
                raise DataError(f"{path} has {len(columns(name))} columns of '{name}'; expected one")
            return data[:, columns(name)[0]]

        voxels = columns("VoxelData")
        image_kind = next((name for name in _IMAGE_KINDS if name in kinds), _IMAGE_KINDS[0])
        session_kind = next((name for name in _SESSION_KINDS if name in kinds), "")
        shown, kind = only_column(image_kind), only_column("DataType")
        seen = np.isin(kind, (TRAIN, TEST))
        ids = [image_id(value) for value in np.where(seen, shown, shown[seen][0])]
        names, index = in_order_shown(ids)
        test = {name for name, value in zip(ids, kind) if value == TEST}
        both = sorted(test & {name for name, value in zip(ids, kind) if value == TRAIN})
        if both:
            raise DataError(f"{path}: image {both[0]} is of training and of test ({len(both)} such)")
        source = MemoryArray(data[:, voxels].astype(np.float32), path.name)
        trials = trials_of(
            source,
            self.pictures(root / "images", names),
            names,
            index,
            session=only_column(session_kind).astype(np.int64) if session_kind else None,
            labels={"synset": [name.partition("_")[0] for name in names]},
        )
        rois = {
            name.removeprefix("ROI_"): np.nan_to_num(kinds[name])[voxels] == 1
            for name in keys
            if name.startswith("ROI_") and (np.nan_to_num(kinds[name])[voxels] == 1).any()
        }
        coordinates = None
        if all(name in kinds for name in _COORDINATES):
            coordinates = np.stack([kinds[name][voxels] for name in _COORDINATES], axis=1)
        return Recording(
            chosen_trials(trials, seen),
            VoxelFacts(rois=rois, coordinates=coordinates),
            "raw",
            {"test50": tuple(sorted(test))},
            mask="VoxelData",
        )


def image_id(label: float) -> str:
    """``n01518878_5958`` for 1518878.005958, a synset of ImageNet and its picture; a whole number as it
    is."""
    synset, picture = divmod(round(float(label) * 1e6), 10**6)
    return f"n{synset:08d}_{picture}" if picture else as_id(synset)
