"""Benchmark ``mosaic``: MOSAIC's files, a subject of one of eight data sets each, on one surface.

A trial is a data set of its own in the file, named by subject, stimulus, phase and repetition; what it shows
is told by its attributes and not by its place.  Responses come z-scored by whoever made the files.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.api import CeilingSource, DataError
from harness.reading.arrays import as_integers, as_vector, open_array
from harness.reading.ids import IMAGE_ENDINGS, as_id, stem
from harness.reading.prepared import Block
from harness.reading.sources import reading

from ..assembly import VoxelFacts
from ..paired_voxels import ncsnr_of
from .benchmark import LayoutBenchmark
from .recording import Recording, in_order_shown, prepared, trials_of, with_voxels

_TRIALS = 256
"""Trials read at a time."""

AREAS = {
    "early": ("V1", "V2", "V3", "V4"),
    "higher": (
        *("V6", "V3A", "V7", "IPS1", "V3B", "V6A"),  # dorsal
        *("V8", "FFC", "PIT", "VMV1", "VMV2", "VMV3", "VVC"),  # ventral
        *("MST", "LO1", "LO2", "LO3", "MT", "PH", "V4t", "FST", "V3CD"),  # lateral
    ),
}
"""Cortical group -> visual areas of Glasser et al. 2016 in it: the groups 1 and 2, and 3, 4 and 5, of their
supplement.  Areas of other groups are no regions here: 360 would be too many for a report."""

GRAYORDINATES = {"cortex-left": (0, 29696), "cortex-right": (29696, 59412), "below-cortex": (59412, 91282)}
"""Part -> first and one past the last of its places in a vector of fsLR32k (HCP)."""


class Mosaic(LayoutBenchmark):
    """NSD, BOLD5000, THINGS, GOD, Deeprecon and NOD as MOSAIC gives them; Lahner et al. 2025."""

    layout: ClassVar[str] = "mosaic"
    images_of: ClassVar[str] = "mosaic"
    default_test: ClassVar[str] = "phase-test"

    def read(self, root: Path, subject: str) -> Recording:
        """The trials of the file, train and test as their attributes say."""
        path = self.manifest().entry("responses").file(root, subject=subject)
        names, shown, phases, n_voxels = _trials(path)
        blocks = [names[k : k + _TRIALS] for k in range(0, len(names), _TRIALS)]
        source = prepared(
            [Block(len(block), partial(_read, path, block, n_voxels)) for block in blocks],
            [path],
            n_voxels=n_voxels,
            what=f"MOSAIC betas of {subject}",
            depends_on="mosaic",
        )
        ids, index = in_order_shown(shown)
        films = [name for name in ids if not name.lower().endswith(IMAGE_ENDINGS)]
        if films:
            raise DataError(
                f"{path}: '{films[0]}' is no picture; subjects who saw films (BMD, HAD) are not read"
            )
        images = self.pictures(root / "stimuli" / "raw", ids)
        of_test = set(index[np.array(phases) == "test"].tolist())
        both = sorted(of_test & set(index[np.array(phases) == "train"].tolist()))
        if both:
            raise DataError(f"{path}: '{ids[both[0]]}' is of training and of test ({len(both)} such)")
        return Recording(
            trials_of(source, images, [stem(name) for name in ids], index),
            self._facts(root, path, n_voxels),
            "zscore_session",
            {"phase-test": tuple(stem(ids[k]) for k in sorted(of_test))},
            mask="fsLR32k",
            normalised=True,
        )

    def _facts(self, root: Path, path: Path, n_voxels: int) -> VoxelFacts:
        ncsnr, source = _ceiling(path, n_voxels)
        areas: dict[str, np.ndarray] = {}
        for _, file in self.manifest().entry("parcels").find(root):
            areas = read_parcels(file, n_voxels)
        groups = {
            group: np.any([areas[area] for area in members if area in areas], axis=0)
            for group, members in AREAS.items()
            if any(area in areas for area in members)
        }
        return VoxelFacts(_parts(n_voxels) | areas, groups, ncsnr=ncsnr, ncsnr_source=source)


def _trials(path: Path) -> tuple[list[str], list[str], list[str], int]:
    """Names of the trials' data sets, what was shown, their phases, and V."""
    import h5py

    names, shown, phases, n_voxels = [], [], [], 0
    with reading(path), h5py.File(path, "r") as file:
        for name, item in _group(file, "betas", path).items():
            held = {
                key: as_id(item.attrs[key])
                for key in ("presented_stimulus_filename", "phase")
                if key in item.attrs
            }
            if len(held) < 2 or held["phase"] not in ("train", "test"):
                raise DataError(
                    f"{path}: '{name}' has no attribute phase (train or test) and presented_stimulus_filename"
                )
            if len(item.shape) != 1 or item.shape[0] != (n_voxels := n_voxels or item.shape[0]):
                raise DataError(f"{path}: '{name}' has shape {item.shape}; expected ({n_voxels},)")
            names.append(name)
            shown.append(held["presented_stimulus_filename"])
            phases.append(held["phase"])
    if not names:
        raise DataError(f"{path} holds no trial in its group betas")
    return names, shown, phases, n_voxels


def _read(path: Path, names: list[str], n_voxels: int) -> np.ndarray:
    """(n, V) float32 responses of the trials `names`; inf is NaN, as the file's own lists of both say."""
    import h5py

    values = np.empty((len(names), n_voxels), np.float32)
    with reading(path), h5py.File(path, "r") as file:
        for k, name in enumerate(names):
            values[k] = file["betas"][name][()]
    values[np.isinf(values)] = np.nan
    return values


def _parts(n_voxels: int) -> dict[str, np.ndarray]:
    """Cortex and what lies below it, of a whole vector of fsLR32k."""
    if n_voxels != max(end for _, end in GRAYORDINATES.values()):
        return {}
    places = np.arange(n_voxels)
    return {name: (places >= start) & (places < end) for name, (start, end) in GRAYORDINATES.items()}


def read_parcels(path: Path, n_voxels: int) -> dict[str, np.ndarray]:
    """Visual area -> (V,) bool, of both halves, of the parcels in `path`.

    Raises
    ------
    DataError
        They are of other places, or a place has a number that is no parcel's.
    """
    numbers = as_integers(open_array(path, "map_all"))
    ids, labels = as_integers(open_array(path, "ids")), as_vector(open_array(path, "labels"))
    if len(numbers) != n_voxels:
        raise DataError(f"{path} has parcels of {len(numbers)} places; the responses have {n_voxels}")
    if len(ids) != len(labels) or len(set(ids.tolist())) != len(ids):
        raise DataError(f"{path} has {len(ids)} ids and {len(labels)} labels; expected a label for each id")
    nameless = sorted(set(numbers.tolist()) - set(ids.tolist()))
    if nameless:
        raise DataError(f"{path}: the number {nameless[0]} of map_all is not among its ids")
    number_of = dict(zip(map(str, labels), ids.tolist()))
    areas = {}
    for area in (area for areas_of_group in AREAS.values() for area in areas_of_group):
        halves = [number_of[name] for name in (f"L_{area}", f"R_{area}") if name in number_of]
        areas[area] = np.isin(numbers, halves)
    return with_voxels(areas)


def _ceiling(path: Path, n_voxels: int) -> tuple[np.ndarray | None, CeilingSource | None]:
    """ncsnr from the ceilings of single test trials."""
    import h5py

    ncsnr, source = None, None
    with reading(path), h5py.File(path, "r") as file:
        ceilings = file.get("noiseceilings", {})
        for name, item in ceilings.items():
            if as_id(item.attrs.get("n", "")) == "1" and as_id(item.attrs.get("phase", "")) == "test":
                if item.shape != (n_voxels,):
                    raise DataError(f"{path}: '{name}' has shape {item.shape}; expected ({n_voxels},)")
                ncsnr = ncsnr_of(np.asarray(item[()], np.float64) / 100, 1)
                source = CeilingSource(f"noise ceiling of the file ({name})")
                break
    return ncsnr, source


def _group(file: Any, name: str, path: Path) -> Any:
    if name not in file or not hasattr(file[name], "items"):
        raise DataError(f"{path} has no group '{name}'; it holds {', '.join(file) or 'nothing'}")
    return file[name]
