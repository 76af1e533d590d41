"""Predictions that were made elsewhere, in a file, matched by id.

``file:predictions.npz`` (``.h5``, ``.mat``, ``.pt``) holds ``predictions`` (N, V) or (N, S, V) and ``ids``
(N,); ``file:predictions.csv`` (``.tsv``) has a line per image, a column per voxel and a column ``ids``;
``file:predictions.npy`` has its ids in ``predictions.ids.txt`` (one a line) or ``.ids.json``.  Ids that
differ from the benchmark's in an ending or leading zeros alone are matched (:mod:`harness.reading.ids`).
Names of image sets that the encoder was trained on may stand under ``training_sets``
(:mod:`harness.run.overlaps`), and under ``units`` the units of the predictions (:mod:`harness.units`): where
these are not those of the benchmark they are brought to them.  Without it they are taken to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..data import Stimuli, SubjectData, VoxelSpace
from ..errors import DataError, SpaceMismatch
from ..places import expanded
from ..plugins import HARNESS, PluginRef
from ..reading.arrays import BARE, SUFFIXES, ArrayFile, sidecars
from ..reading.ids import match_ids, nearest_id
from ..reading.present import existing_file
from ..reading.sources import ArraySource
from ..storage.content import file_sha
from ..units import converted

_PREDICTIONS = ("predictions", "responses", "betas", BARE)
_SETS = "training_sets"
_UNITS = "units"
_TEXTS = ("ids", _SETS, _UNITS)


def predictions_ref(file: str) -> PluginRef:
    """The encoder that reads predictions from `file`."""
    target = f"{__name__}:FilePredictions"
    return PluginRef("encoders", f"file:{file}", target, HARNESS, "")


class FilePredictions:
    """An encoder whose responses are read from a file, never computed."""

    version: ClassVar[str] = "1"
    by_id: ClassVar[bool] = True  # needs the images' own ids, whatever the benchmark says of them
    converts_units: ClassVar[bool] = True  # by what z-scored the responses of the space

    @dataclass(frozen=True)
    class Params:
        """path : the file; see the module's first lines for its form."""

        path: str

    def __init__(self, params: Params) -> None:
        self.params = params
        self.path = existing_file(params.path, expected=", ".join(SUFFIXES))

    @staticmethod
    def missing(params: Params, *, subject: str) -> tuple[str, ...]:
        """Nothing; a file that holds no predictions is refused before it is needed (:class:`DataError`)."""
        _opened(expanded(params.path))
        return ()

    @cached_property
    def _content(self) -> tuple[dict[str, int], np.ndarray]:
        ids, values = read_predictions(self.path)
        return {name: k for k, name in enumerate(ids)}, values

    def training_sets(self) -> Sequence[str]:
        """What the file says that its encoder was trained on."""
        return ArrayFile(self.path, _TEXTS).names(_SETS)

    @property
    def stochastic(self) -> bool:
        """True when the file holds several samples per image."""
        return self._content[1].shape[1] > 1

    def identity(self) -> str:
        """SHA-256 of the file and of its ids' file."""
        beside = [file for file in sidecars(self.path) if file.is_file()]
        return hashlib.sha256("".join(file_sha(f) for f in (self.path, *beside)).encode()).hexdigest()

    def wants(self) -> Sequence[tuple[str, str]]:
        return ()

    def fit(self, subjects: Sequence[SubjectData], features: Any, **_: Any) -> None:
        """Nothing to learn."""

    def require(self, stimuli: Stimuli) -> dict[str, str]:
        """Id of each of `stimuli` -> id in the file; a missing one is an error that counts them all."""
        rows, _ = self._content
        matches = match_ids(stimuli.ids, rows, what=str(self.path))
        missing = [name for name in stimuli.ids if name not in matches]
        if missing:
            like = nearest_id(missing[0], rows) or next(iter(rows))
            raise DataError(
                f"{self.path} has no prediction for {len(missing)} of {len(stimuli)} images "
                f"(first: '{missing[0]}'; the file holds ids such as '{like}')"
            )
        return matches

    def responses(self, stimuli: Stimuli) -> np.ndarray:
        """(N, S, V) the file's rows for `stimuli`; extra ids are left out, missing ones are an error."""
        matches, (rows, values) = self.require(stimuli), self._content
        return values[[rows[matches[name]] for name in stimuli.ids]]

    def predict(self, stimuli: Stimuli, features: Any, *, space: VoxelSpace, seeds: np.ndarray) -> np.ndarray:
        """:meth:`responses`, where they are those of `space`."""
        values = self.responses(stimuli)
        if values.shape[2] != space.n_voxels:
            raise SpaceMismatch(
                f"{self.path} holds {values.shape[2]} voxels; {space.subject} has {space.n_voxels} "
                f"(mask '{space.mask}'). Is it another subject or mask?"
            )
        stated = ArrayFile(self.path, _TEXTS).names(_UNITS)
        if len(set(stated)) > 1:
            raise DataError(
                f"{self.path} names the units {', '.join(stated)}; give the one of all predictions"
            )
        if stated:
            values = converted(values, stated[0], space.units, space, what=str(self.path))
        samples = seeds.shape[1]
        if samples > values.shape[1]:
            if values.shape[1] > 1:
                raise DataError(
                    f"{self.path} holds {values.shape[1]} samples per image; --samples is {samples}"
                )
            values = np.repeat(values, samples, axis=1)
        return values[:, :samples]

    def save(self, folder: Path) -> None:
        (folder / "path.txt").write_text(str(self.path))

    @classmethod
    def load(cls, folder: Path, params: Params, *, device: str) -> FilePredictions:
        return cls(params)


def read_predictions(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Ids (N,) and values (N, S, V) of a predictions file; nothing pickled is read."""
    names, source = _opened(path)
    values = source.read()
    return names, (values[:, None, :] if values.ndim == 2 else values).astype(np.float32)


def _opened(path: Path) -> tuple[tuple[str, ...], ArraySource]:
    """Ids (N,) and the array (N, V) or (N, S, V) of a predictions file, its values not yet read."""
    file = ArrayFile(path, _TEXTS)
    name = next((name for name in _PREDICTIONS if name in file.infos), None)
    if name is None:
        raise DataError(f"{path} has the keys {file.keys}; expected 'predictions' and 'ids'")
    source = file.open(name)
    if source.dtype.kind not in "biuf":
        raise DataError(f"{path}: predictions are {source.dtype}; expected numbers")
    if len(source.shape) not in (2, 3):
        raise DataError(
            f"{path}: predictions have shape {source.shape}; expected (images, voxels) or (N, S, V)"
        )
    return file.ids(source.shape[0], what="predictions"), source
