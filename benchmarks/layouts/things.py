"""Benchmark ``things-fmri``: THINGS-fMRI's tables of single-trial betas; 100 test images shown 12 times."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.image_files import ImageFolder
from harness.reading.pixels import Scale
from harness.reading.prepared import Block
from harness.reading.records import Records, read_records
from harness.reading.sources import reading

from ..assembly import VoxelFacts
from ..paired_images import YAML
from .benchmark import LayoutBenchmark
from .recording import Recording, prepared, trials_of

_NO_REGION = ("voxel_id", "subject_id", "voxel_x", "voxel_y", "voxel_z")


class ThingsFmri(LayoutBenchmark):
    """THINGS-fMRI, three subjects, 8,640 training images of one trial each; Hebart et al. 2023."""

    layout: ClassVar[str] = "things-fmri"
    default_test: ClassVar[str] = "test100"

    def test_sets(self) -> tuple[str, ...]:
        """The image set that test images are of."""
        return ("things-fmri-test100",)

    def read(self, root: Path, subject: str) -> Recording:
        """Columns of the table as trials, named by the list of stimuli."""
        manifest = self.manifest()
        table = manifest.entry("responses").one(root, subject=subject)
        stimuli = read_records(
            manifest.entry("stimuli").one(root, subject=subject), needs=("stimulus", "trial_type", "session")
        )
        voxels = read_records(manifest.entry("voxels").one(root, subject=subject), needs=("voxel_id",))
        order, n_trials = _layout_of(table)
        if n_trials != len(stimuli):
            raise DataError(f"{table} has {n_trials} trials and {stimuli.path.name} lists {len(stimuli)}")
        if not np.array_equal(order, voxels.integers("voxel_id")):
            raise DataError(f"{table} and {voxels.path.name} list other voxels, or in another order")
        source = prepared(
            [Block(n_trials, partial(read_table, table))],
            [table],
            n_voxels=len(voxels),
            what=f"THINGS betas of {subject}",
            depends_on="things-fmri",
        )
        kinds = set(stimuli.text("trial_type"))
        if not {"train", "test"} <= kinds:
            raise DataError(
                f"{stimuli.path}: trial_type holds {', '.join(sorted(kinds))}; expected train and test"
            )
        shown = stimuli.text("stimulus")
        names = list(dict.fromkeys(shown))
        place = {name: k for k, name in enumerate(names)}
        images = ImageFolder(root / "images", names, scale=Scale(door=YAML), resize=self.params.resize())
        if images.missing:
            raise DataError(
                f"{root / 'images'} holds no picture for {len(images.missing)} stimuli, for example "
                f"'{images.missing[0]}'"
            )
        test = {name for name, kind in zip(shown, stimuli.text("trial_type")) if kind == "test"}
        return Recording(
            trials_of(
                source,
                images,
                [name.rpartition(".")[0] or name for name in names],
                np.array([place[name] for name in shown]),
                session=stimuli.integers("session"),
            ),
            _facts(voxels),
            "raw",
            {"test100": tuple(name.rpartition(".")[0] or name for name in names if name in test)},
            mask="things",
        )


def _facts(voxels: Records) -> VoxelFacts:
    rois = {}
    for name in voxels.columns:
        if name in _NO_REGION:
            continue
        values = set(voxels.text(name))
        if values <= {"0", "1", "0.0", "1.0"} and values & {"1", "1.0"}:
            rois[name] = voxels.numbers(name) == 1
    coordinates = None
    if all(name in voxels.columns for name in _NO_REGION[2:]):
        coordinates = np.stack([voxels.numbers(name) for name in _NO_REGION[2:]], axis=1)
    return VoxelFacts(rois=rois, coordinates=coordinates, identity=voxels.integers("voxel_id").tobytes())


def read_table(path: Path) -> np.ndarray:
    """(trials, V) float32 of a pandas table of a row per voxel."""
    import h5py

    with reading(path), h5py.File(path, "r") as file:
        group = _table(file, path)
        parts = []
        for items, values in _blocks(group):
            trials = [k for k, name in enumerate(items) if name != "voxel_id"]
            numbers = [int(items[k]) for k in trials]
            parts += list(zip(numbers, values[()].T[trials].astype(np.float32)))
    return np.stack([row for _, row in sorted(parts, key=lambda part: part[0])])


def _layout_of(path: Path) -> tuple[np.ndarray, int]:
    """(V,) voxel ids and the number of trials."""
    import h5py

    with reading(path), h5py.File(path, "r") as file:
        ids, trials = None, []
        for items, values in _blocks(_table(file, path)):
            for k, name in enumerate(items):
                if name == "voxel_id":
                    ids = values[:, k].astype(np.int64)
                elif name.isdigit():
                    trials.append(int(name))
                else:
                    raise DataError(f"{path} has a column '{name}'; expected voxel_id and numbers of trials")
    if ids is None:
        raise DataError(f"{path} has no column voxel_id")
    first = min(trials, default=0)
    if sorted(trials) != list(range(first, first + len(trials))):
        raise DataError(f"{path}: the numbers of its trials have gaps")
    return ids, len(trials)


def _table(file: Any, path: Path) -> Any:
    """The group of the one pandas table of fixed format (HDFStore) in `file`."""
    groups = [file, *(item for item in file.values() if hasattr(item, "keys"))]
    for group in groups:
        if "block0_values" in group and "block0_items" in group:
            return group
    raise DataError(f"{path} holds no pandas table of fixed format; expected the published ResponseData.h5")


def _blocks(group: Any) -> Iterator[tuple[list[str], Any]]:
    """Names of columns and (rows, columns) values of each block."""
    k = 0
    while f"block{k}_values" in group:
        items = [
            name.decode() if isinstance(name, bytes) else str(name) for name in group[f"block{k}_items"][()]
        ]
        yield items, group[f"block{k}_values"]
        k += 1
