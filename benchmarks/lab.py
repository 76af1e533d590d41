"""Benchmark ``lab``: a lab's own volumes with a table of trials and a mask, in NIfTI or as GLMsingle leaves
them.

Betas are 4-D volumes, one per run or session, or arrays (X, Y, Z, trials) in ``.mat``, ``.h5`` or ``.npy``
(GLMsingle's ``betasmd``); the table of trials has a row for each volume, in the order of the files, with
the name of the image that was shown.  Rows of one image, or of one image within what `mean_over` names, are
its trials.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import ConfigError, DataError, SubjectData, suggest, units
from harness.reading.arrays import as_names, open_array, split_reference
from harness.reading.image_files import ImageFolder
from harness.reading.pixels import Scale
from harness.reading.prepared import Block
from harness.reading.records import Records, read_records
from harness.reading.resizing import FILTERS, FITS
from harness.reading.volumes import is_volume, open_volume

from .assembly import Assembly, VoxelFacts
from .layouts.benchmark import chosen_trials, is_list, listed_images
from .layouts.recording import in_order_shown, masked_facts, prepared, read_mask, trials_of
from .named_files import named_path
from .paired_images import YAML, ResizeKeys
from .paired_responses import measured_trials

TEMPLATES = ("", "mni152")


@dataclass(frozen=True)
class Params(ResizeKeys):
    """Which files there are; ``{subject}`` stands for the subject's name.

    Attributes
    ----------
    base_dir : folder that relative paths start from; the folder of the YAML file.
    betas : 4-D volumes or arrays (X, Y, Z, trials), in order: paths, patterns such as ``run*.nii.gz``, or
        ``file.mat:key``.
    trials : table with a row for each volume of `betas`; ``image``, ``session``, ``split`` : its columns.
    images : folder of pictures, called as the column `image` says.
    labels : attribute of the images, such as ``category`` -> its column of `trials`.
    mask : volume; voxels above 0 are used.
    atlas, atlas_names : volume of numbers of regions, and a table with the columns ``number`` and ``name``.
    groups : cortical group -> names of regions that it unites.
    template : ``mni152`` where the volumes are in that template's space: maps are then drawn on fsaverage.
    units : of the betas; normalise : both as for ``paired``.
    mean_over : columns of `trials`; volumes that agree in them and in the image are one trial, their mean.
    skip : values of the column `image` that are no picture, such as ``rest``.
    test : value of the column `split` that marks test trials, or a list of test images, or without `split` a
        file with one a line (``test_ids.txt``, as ``harness data split`` writes it).
    exclude, image_resize, image_filter, image_fit, dataset, subjects : as for ``paired``.
    """

    base_dir: str = "."
    betas: str | tuple[str, ...] = ()
    trials: str = ""
    images: str = ""
    mask: str = ""
    image: str = "image"
    labels: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    split: str = ""
    test: str | tuple[str, ...] = "test"
    atlas: str = ""
    atlas_names: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    template: str = ""
    units: str = ""
    normalise: str = "none"
    mean_over: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    image_resize: tuple[int, ...] = ()
    image_filter: str = ""
    image_fit: str = ""
    dataset: str = "lab"
    subjects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.betas, str):
            object.__setattr__(self, "betas", (self.betas,))
        for name in ("betas", "trials", "images", "mask"):
            if not getattr(self, name):
                raise ConfigError(f"benchmark 'lab' needs {name}:; see harness list lab")
        if self.units not in units.UNITS:
            raise ConfigError(
                f"the units of the betas are not stated; add units: and one of {', '.join(units.UNITS)}"
            )
        if self.template not in TEMPLATES:
            raise ConfigError(suggest(self.template, TEMPLATES, what="template"))
        if self.normalise not in units.BROUGHT_TO:
            raise ConfigError(suggest(self.normalise, units.BROUGHT_TO, what="normalise"))
        for name, allowed in (("image_filter", FILTERS), ("image_fit", FITS)):
            if getattr(self, name) and getattr(self, name) not in allowed:
                raise ConfigError(suggest(getattr(self, name), allowed, what=name))
        if not self.split and isinstance(self.test, str) and not is_list(self.test):
            raise ConfigError(
                "which trials test is not stated; add split: COLUMN with test: VALUE, or test: [images] or a "
                "file of them, test: test_ids.txt"
            )
        if self.normalise == "zscore_session" and not self.session:
            raise ConfigError("normalise: zscore_session needs session: COLUMN of the table of trials")
        self.resize()


class Lab:
    """A lab's own experiment: volumes, a table of trials, a mask, a folder of pictures."""

    version: ClassVar[str] = "1"
    simulated: ClassVar[bool] = False
    generated: ClassVar[bool] = False
    Params: ClassVar[type] = Params

    def __init__(self, params: Params) -> None:
        self.params = params

    @staticmethod
    def missing(params: Params, *, subject: str) -> list[str]:
        """A line for each file or folder that `params` name and that is not there."""
        files = _Files(params, subject)
        lines = [f"there is no file {path}" for path in files.single() if not path.exists()]
        return lines + [f"no file fits {pattern}" for pattern in params.betas if not files.fitting(pattern)]

    def subjects(self) -> tuple[str, ...]:
        """The subjects' names."""
        return tuple(self.params.subjects) or ("subj01",)

    def load(self, subject: str) -> SubjectData:
        """Read, average, split, normalise and check; every problem is a :class:`DataError`."""
        if subject not in self.subjects():
            raise DataError(suggest(subject, self.subjects(), what="subject"))
        params, files = self.params, _Files(self.params, subject)
        needs = [params.image, *params.mean_over, *params.labels.values()]
        table = read_records(files.path(params.trials), needs=needs)
        volume, mask = read_mask(files.path(params.mask))
        volumes = [path for pattern in params.betas for path in files.betas(pattern)]
        rows = Rows.of(table, params)
        source = prepared(
            [Block(len(rows), partial(read_trials, volumes, mask, rows, len(table)))],
            [*map(_file_of, volumes), volume.path, table.path],
            n_voxels=int(mask.sum()),
            what=f"betas of {subject}",
            depends_on=("lab", volumes, params.mean_over, params.skip),
        )
        names, shown = in_order_shown(rows.images)
        folder = files.path(params.images)
        images = ImageFolder(folder, names, scale=Scale(door=YAML), resize=params.resize()).complete()
        labels = {label: labels_of(table, params, names, label=label) for label in params.labels}
        trials = trials_of(source, images, names, shown, session=rows.sessions, labels=labels)
        kept = np.isin(trials.trials, measured_trials(trials.table, name="betas", exclude=params.exclude))
        is_test = rows.is_test[trials.trials]
        parts = [chosen_trials(trials, kept & chosen) for chosen in (~is_test, is_test)]
        assembly = Assembly(
            params.dataset,
            subject,
            Path(params.mask).name.partition(".")[0],
            params.units,
            params.normalise,
            tuple(params.exclude),
            scale=Scale(door=YAML),
        )
        return assembly.subject_data(*parts, self._facts(files, mask, volume.affine))

    def _facts(self, files: _Files, mask: np.ndarray, affine: np.ndarray) -> VoxelFacts:
        params, rois = self.params, {}
        if params.atlas:
            volume = open_volume(files.path(params.atlas))
            if volume.shape != mask.shape:
                raise DataError(f"{volume.path} is {volume.shape} voxels and the mask {mask.shape}")
            labels = volume.read()[mask]
            names = {}
            if params.atlas_names:
                listed = read_records(files.path(params.atlas_names), needs=("number", "name"))
                names = dict(zip(listed.integers("number").tolist(), listed.text("name")))
            for number in np.unique(labels[labels > 0]).astype(int).tolist():
                rois[names.get(number, f"region-{number}")] = labels == number
        groups = {}
        for group, members in params.groups.items():
            for name in members:
                if name not in rois:
                    raise ConfigError(suggest(name, rois, what=f"region of group '{group}'"))
            groups[group] = np.any([rois[name] for name in members], axis=0)
        return masked_facts(mask, affine, rois, groups, template=params.template)


@dataclass(frozen=True)
class Rows:
    """Trials made of volumes: members (a tuple of places of volumes each), images, sessions, which test."""

    members: tuple[tuple[int, ...], ...]
    images: tuple[str, ...]
    sessions: np.ndarray | None
    is_test: np.ndarray

    def __len__(self) -> int:
        return len(self.members)

    @classmethod
    def of(cls, table: Records, params: Params) -> Rows:
        """The trials that the table lists, volumes that are to be averaged as one."""
        shown = table.text(params.image)
        groups: dict[tuple, list[int]] = {}
        for row, name in enumerate(shown):
            if name in params.skip or name == "":
                continue
            marks = tuple(table.text(column)[row] for column in params.mean_over)
            groups.setdefault((name, *marks) if params.mean_over else (row,), []).append(row)
        if not groups:
            raise DataError(f"{table.path} lists no image in the column '{params.image}'")
        members = tuple(tuple(rows) for rows in groups.values())
        first = np.array([rows[0] for rows in members])
        sessions = table.integers(params.session)[first] if params.session else None
        images = tuple(shown[k] for k in first)
        if params.split:
            marks = np.array(table.text(params.split))
            is_test = marks[first] == params.test
            mixed = [k for k, rows in enumerate(members) if len(set(marks[list(rows)])) > 1]
            if mixed:
                raise DataError(
                    f"{table.path}: volumes of '{images[mixed[0]]}' that are averaged differ in "
                    f"'{params.split}'"
                )
        else:
            names, where = params.test, "test"
            if isinstance(names, str):
                names, where = as_names(open_array(named_path(params.base_dir, names))), names
            ids, index = in_order_shown(images)
            is_test = listed_images(names, ids, where=where, what=str(table.path))[index]
        if is_test.all() or not is_test.any():
            raise DataError(
                f"{table.path}: {is_test.sum()} of {len(is_test)} trials test; both splits need some"
            )
        return cls(members, images, sessions, is_test)


def labels_of(table: Records, params: Params, names: Sequence[str], *, label: str) -> list[str]:
    """What the column of `label` says of each of the images `names`; two words for one image are an error."""
    shown, column = table.text(params.image), params.labels[label]
    words: dict[str, str] = {}
    pictures = set(names)
    for name, word in zip(shown, table.text(column)):
        if name in pictures and words.setdefault(name, word) != word:
            raise DataError(
                f"{table.path}: '{name}' is '{words[name]}' and '{word}' in the column '{column}'; an image "
                "has one label of a kind"
            )
    return [words[name] for name in names]


def read_trials(references: list[str], mask: np.ndarray, rows: Rows, n_volumes: int) -> np.ndarray:
    """(T, V) float32: each trial's volumes, averaged in float64."""
    parts = []
    for reference in references:
        values = open_volume(reference).read() if is_volume(Path(reference)) else _array(reference)
        if values.ndim == 3:
            values = values[..., None]
        if values.shape[:3] != mask.shape:
            raise DataError(
                f"{reference} has shape {values.shape}; expected the mask's {mask.shape} and volumes"
            )
        parts.append(values[mask].T)
    volumes = np.concatenate(parts)
    if len(volumes) != n_volumes:
        raise DataError(f"the betas hold {len(volumes)} volumes and the table of trials {n_volumes} rows")
    return np.stack(
        [volumes[list(members)].astype(np.float64).mean(axis=0) for members in rows.members]
    ).astype(np.float32)


def _array(reference: str) -> np.ndarray:
    file, key = split_reference(reference)
    return open_array(file, key).read()


def _file_of(reference: str) -> Path:
    return Path(reference) if is_volume(Path(reference)) else Path(split_reference(reference)[0])


class _Files:
    """Paths of one subject."""

    def __init__(self, params: Params, subject: str) -> None:
        self._params, self._subject = params, subject

    def path(self, name: str) -> Path:
        return named_path(self._params.base_dir, name.replace("{subject}", self._subject))

    def single(self) -> list[Path]:
        params = self._params
        names = (params.trials, params.images, params.mask, params.atlas, params.atlas_names)
        return [self.path(name) for name in names if name]

    def fitting(self, pattern: str) -> list[str]:
        file, key = (pattern, "") if is_volume(Path(pattern)) else split_reference(pattern)
        paths = sorted(glob.glob(str(self.path(file or pattern))))
        return [f"{path}:{key}" if key else path for path in paths]

    def betas(self, pattern: str) -> list[str]:
        files = self.fitting(pattern)
        if not files:
            raise DataError(f"no file fits {self.path(pattern)}")
        return files
