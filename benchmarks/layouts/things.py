"""Benchmark ``things-fmri``: THINGS-fMRI's tables of single-trial betas; 100 test images shown 12 times."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.ids import as_id, stem
from harness.reading.prepared import Block
from harness.reading.records import Records, read_records
from harness.reading.room import require_room
from harness.reading.sources import reading

from ..assembly import VoxelFacts
from .benchmark import LayoutBenchmark
from .recording import Recording, in_order_shown, prepared, trials_of

_VOXELS = 4096
"""Voxels read at a time."""

_NO_REGION = ("voxel_id", "subject_id", "voxel_x", "voxel_y", "voxel_z")


class ThingsFmri(LayoutBenchmark):
    """THINGS-fMRI, three subjects, 8,640 training images of one trial each; Hebart et al. 2023."""

    layout: ClassVar[str] = "things-fmri"
    images_of: ClassVar[str] = "things-fmri"
    default_test: ClassVar[str] = "test100"

    def read(self, root: Path, subject: str) -> Recording:
        """Columns of the table as trials, named by the list of stimuli."""
        manifest = self.manifest()
        table = manifest.entry("responses").file(root, subject=subject)
        stimuli = read_records(
            manifest.entry("stimuli").file(root, subject=subject), needs=("stimulus", "trial_type", "session")
        )
        voxels = read_records(manifest.entry("voxels").file(root, subject=subject), needs=("voxel_id",))
        order, n_trials = _layout_of(table)
        if n_trials != len(stimuli):
            raise DataError(f"{table} has {n_trials} trials and {stimuli.path.name} lists {len(stimuli)}")
        if not np.array_equal(order, voxels.integers("voxel_id")):
            raise DataError(f"{table} and {voxels.path.name} list other voxels, or in another order")
        source = prepared(
            [Block(n_trials, partial(read_table, table, n_trials, len(voxels)))],
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
        names, index = in_order_shown(shown)
        labels = {}
        if "concept" in stimuli.columns:
            concepts = dict(zip(shown, stimuli.text("concept")))
            labels["concept"] = [concepts[name] for name in names]
        ids = [stem(name) for name in names]
        test = {name for name, kind in zip(shown, stimuli.text("trial_type")) if kind == "test"}
        return Recording(
            trials_of(
                source,
                self.pictures(root / "images", names),
                ids,
                index,
                session=stimuli.integers("session"),
                labels=labels,
            ),
            _facts(voxels),
            "raw",
            {"test100": tuple(own for own, name in zip(ids, names) if name in test)},
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


def read_table(path: Path, n_trials: int, n_voxels: int) -> np.ndarray:
    """(trials, V) float32 of a pandas table of a row per voxel, some voxels at a time."""
    import h5py

    require_room(4 * n_trials * n_voxels, what=str(path))
    out = np.empty((n_trials, n_voxels), np.float32)
    with reading(path), h5py.File(path, "r") as file:
        blocks = [
            ([(k, int(name)) for k, name in enumerate(items) if name != "voxel_id"], values)
            for items, values in _blocks(_table(file, path))
        ]
        first = min(number for columns, _ in blocks for _, number in columns)
        for columns, values in blocks:
            if not columns:
                continue
            chosen, numbers = (np.array(part) for part in zip(*columns))
            for start in range(0, n_voxels, _VOXELS):
                out[numbers - first, start : start + _VOXELS] = values[start : start + _VOXELS][:, chosen].T
    return out


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
        yield [as_id(name) for name in group[f"block{k}_items"][()]], group[f"block{k}_values"]
        k += 1
