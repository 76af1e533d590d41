"""Reconstructions that were made elsewhere, in a folder or a file, matched by id (:class:`GivenImages`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..data import ImageSet, Stimuli
from ..errors import DataError, suggest
from ..places import expanded
from ..reading.arrays import BARE, SUFFIXES, ArrayFile, ArraySource
from ..reading.ids import lacking, match_ids, stem
from ..reading.image_files import ImageFolder, image_names
from ..reading.pixels import Scale, checked_hashes, sampled
from ..reading.present import existing_file
from ..rows.table import ROWS

logger = logging.getLogger(__name__)

_IMAGES = ("reconstructions", "recons", "images", BARE)


@dataclass(frozen=True)
class GivenImages:
    """Finished images, in place of a decoder: a folder or a file, matched by id.

    ``folder:recons/`` holds one image per test image, named by id (``test-00007.png``), or per row a
    folder or file of that name (``recons/predicted/``, ``recons/measured.npz``).
    ``file:recons.pt`` (``.npz``, ``.npy``, ``.h5``, ``.mat``) holds ``reconstructions`` (N, H, W, 3) or
    (N, 3, H, W), uint8 or float in [0, 1], or one such array per row, called as the row is; and ``ids`` (N,).
    The rules for pixels, files and ids are those for stimuli (:mod:`harness.reading`).

    form : ``folder`` or ``file``, as it was asked for.
    """

    path: str
    form: str = "folder"

    @property
    def name(self) -> str:
        return f"{self.form}:{self.path}"

    @classmethod
    def asked(cls, text: str) -> GivenImages | None:
        """What ``folder:PATH`` or ``file:PATH`` names; None for any other `text`.

        Raises
        ------
        DataError
            There is no such folder or file.
        """
        form, colon, path = text.partition(":")
        if not colon or form not in ("folder", "file"):
            return None
        if form == "file":
            existing_file(path, expected=f"{', '.join(SUFFIXES)}, or folder:PATH")
        if form == "folder":
            _check_folder(expanded(path))
        return cls(path, form)

    def rows(self, stimuli: Stimuli, *, flat_row: str) -> dict[str, ImageSet]:
        """Row -> image set with the ids of `stimuli`; images without a row's name are called `flat_row`.

        Raises
        ------
        DataError
            Images that are missing, or what cannot be read.
        """
        return {row: held.of(stimuli.ids) for row, held in self._held(flat_row).items()}

    def present(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Those of `ids`, in their order, that are there in every row.

        Raises
        ------
        DataError
            None is.
        """
        ids, held = tuple(ids), self._held(ROWS["reconstructions"].name)
        opened = {row: images_of.open(ids) for row, images_of in held.items()}
        missing = {name for images in opened.values() for name in images.missing}
        there = tuple(name for name in ids if name not in missing)
        if not there:
            holds = "; ".join(
                f"{held[row].path} holds ids such as {stem(images.names[0])}"
                for row, images in opened.items()
            )
            raise DataError(f"no test image has a reconstruction: {holds}; expected ids such as {ids[0]}")
        return there

    def _held(self, flat_row: str) -> dict[str, _Held]:
        root = expanded(self.path)
        if self.form == "file":
            return _file_rows(root, flat_row)
        _check_folder(root)
        rows: dict[str, _Held] = {}
        for child in sorted(root.iterdir()):
            arrays = child.is_file() and child.suffix.lower() in SUFFIXES
            row = child.stem if arrays else child.name
            if row not in ROWS or not (arrays or child.is_dir()):
                continue
            if row in rows:
                raise DataError(f"{root} holds the row '{row}' twice; keep the folder or one file of it")
            rows[row] = _file_rows(child, row)[row] if arrays else _folder(child)
        if rows:
            _warn_of_other_folders(root, rows)
        return rows or {flat_row: _folder(root)}


def check_given(path: str) -> None:
    """Refuse a `path` that is neither a folder nor a file, before either form is asked for."""
    if not expanded(path).exists():
        raise DataError(
            f"{path}: there is no such file or folder; give a folder that holds an image per test image, "
            f"named by id, or a file of images and ids ({', '.join(SUFFIXES)})"
        )


def _check_folder(path: Path) -> None:
    if path.is_file():
        raise DataError(f"{path} is not a folder; for a file of arrays type file:{path}")
    if not path.is_dir():
        raise DataError(
            f"there is no folder {path}; give one that holds an image per test image, named by id"
        )


class _Images(Protocol):
    """The images of some ids.

    names : of all images that are there; missing : those ids that have none.
    """

    names: Sequence[str]
    missing: tuple[str, ...]

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) of the ids at `positions`."""


@dataclass(frozen=True)
class _Held:
    """Images of one row in a folder or a file; `open` gives those of some ids."""

    path: Path
    open: Callable[[tuple[str, ...]], _Images]

    def of(self, ids: tuple[str, ...]) -> ImageSet:
        """The images called `ids`, in that order, each read once and checked.

        Raises
        ------
        DataError
            Some are missing, or are no images.
        """
        images = self.open(ids)
        if images.missing:
            missing = images.missing
            files = f"; expected files such as {stem(missing[0])}.png" if self.path.is_dir() else ""
            holds = stem(images.names[0])
            raise DataError(lacking(missing, ids, holds, what=str(self.path), expected=files))
        if extra := len(images.names) - len(ids):
            logger.info(
                "%s: %d images have no stimulus among those scored and are left out", self.path, extra
            )
        hashes = checked_hashes(ids, images.read, what=str(self.path), scale=Scale())
        return ImageSet(ids, images.read, hashes=hashes)


class _ArrayImages:
    """The images called `ids` in the array `name` of a file."""

    def __init__(self, file: ArrayFile, name: str, ids: tuple[str, ...]) -> None:
        self.ids, self.what = ids, f"{file.path}: {name or 'the array'}"
        self._array = file.open(name)
        self._to_last = _channels(self._array, self.what)
        self.names = file.ids(self._array.shape[0], what="reconstructions")
        matches = match_ids(ids, self.names, what=str(file.path))
        self.missing = tuple(image_id for image_id in ids if image_id not in matches)
        place = {image_id: k for k, image_id in enumerate(self.names)}
        self._rows = np.array(
            [place[matches[image_id]] if image_id in matches else -1 for image_id in ids], np.int64
        )

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) of the ids at `positions`."""
        block = self._to_last(self._array.take(self._rows[positions]))
        names = [self.ids[k] for k in positions]
        return Scale().pixels(block, what=self.what, names=names, sample=self._sample)

    def _sample(self) -> np.ndarray:
        return self._array.take(sampled(self._array.shape[0]))


def _warn_of_other_folders(root: Path, rows: Iterable[str]) -> None:
    """Say which folders of images lie beside those of `rows` and are of no row: mostly slips of a name."""
    for child in sorted(root.iterdir()):
        if child.is_dir() and child.name not in ROWS and image_names(child, below=True):
            logger.warning(
                "%s: the images in %s/ are left out beside those of %s: %s",
                root,
                child.name,
                ", ".join(rows),
                suggest(child.name, ROWS, what="row"),
                extra={"flag": "images-left-out"},
            )


def _file_rows(path: Path, flat_row: str) -> dict[str, _Held]:
    file = ArrayFile(path)
    of_rows = {name: name for name in file.infos if name in ROWS}
    if list(of_rows) == [_IMAGES[0]]:  # a row's name too, but on its own it says no more than the others
        of_rows = {}
    only = next((name for name in _IMAGES if name in file.infos), None)
    if only is None and len(file.infos) == 1 and not of_rows:
        (name,) = file.infos
        only = name if file.infos[name].shape else None  # whatever it is called, it cannot be mistaken
    names = of_rows or ({} if only is None else {flat_row: only})
    if not names:
        raise DataError(f"{path} has the keys {file.keys}; expected 'reconstructions' and 'ids'")
    return {row: _Held(path, partial(_ArrayImages, file, name)) for row, name in names.items()}


def _folder(path: Path) -> _Held:
    """The images of a folder, each called by the name of its file."""
    return _Held(path, partial(ImageFolder, path, scale=Scale()))


def _channels(array: ArraySource, what: str) -> Any:
    """How to make (n, H, W, 3) of blocks of `array`: colour first, colour last, or grey."""
    shape = array.shape
    wrong = DataError(f"{what}: images have shape {shape}; expected (N, H, W, 3) or (N, 3, H, W)")
    if 0 in shape or len(shape) not in (3, 4):
        raise wrong
    if len(shape) == 3:
        return lambda block: np.repeat(block[..., None], 3, axis=-1)
    if shape[1] == 3 and shape[3] == 3:
        raise DataError(f"{what}: shape {shape} leaves open which axis is colour; save it as (N, H, W, 3)")
    for channels in (3, 1):
        for axis in (3, 1):
            if shape[axis] == channels:
                return lambda block: np.ascontiguousarray(
                    np.repeat(np.moveaxis(block, axis, -1), 3 // channels, axis=-1)
                )
    raise wrong
