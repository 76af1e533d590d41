"""Reconstructions that were made elsewhere, in a folder or a file, matched by id (:class:`GivenImages`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Stimuli
from ..errors import DataError
from ..reading.arrays import BARE, SUFFIXES, ArrayFile, ArraySource
from ..reading.ids import match_ids
from ..rows import ROWS

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_IMAGES = ("reconstructions", "recons", "images", BARE)

ROUNDING = 1e-3
"""How far outside [0, 1] floats may lie, as interpolation and half precision leave them; then clipped."""


@dataclass(frozen=True)
class GivenImages:
    """Finished images, in place of a decoder: a folder or a file, matched by id.

    ``folder:recons/`` holds one image per test image, named by id (``test-00007.png``), or per row a
    folder or file of that name (``recons/predicted/``, ``recons/measured.npz``).
    ``file:recons.pt`` (``.npz``, ``.npy``, ``.h5``, ``.mat``) holds ``reconstructions`` (N, H, W, 3) or
    (N, 3, H, W), uint8 or float in [0, 1], or one such array per row, called as the row is; and ``ids`` (N,).

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
        found = Path(path).expanduser()
        if form == "file" and not found.is_file():
            problem = "is not a file" if found.exists() else "is not there"
            raise DataError(f"{found} {problem}; give one of {', '.join(SUFFIXES)}, or folder:PATH")
        if form == "folder":
            _check_folder(found)
        return cls(path, form)

    def rows(self, stimuli: Stimuli, *, flat_row: str) -> dict[str, Stimuli]:
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
        there = [match_ids(ids, one.known, what=str(one.path)) for one in held.values()]
        found = tuple(name for name in ids if all(name in matches for matches in there))
        if not found:
            holds = "; ".join(f"{one.path} holds ids such as {one.example}" for one in held.values())
            raise DataError(f"no test image has a reconstruction: {holds}; expected ids such as {ids[0]}")
        return found

    def _held(self, flat_row: str) -> dict[str, _Held]:
        root = Path(self.path).expanduser()
        if self.form == "file":
            return _file_rows(root, flat_row)
        _check_folder(root)
        found: dict[str, _Held] = {}
        for child in sorted(root.iterdir()):
            arrays = child.is_file() and child.suffix.lower() in SUFFIXES
            row = child.stem if arrays else child.name
            if row not in ROWS or not (arrays or child.is_dir()):
                continue
            if row in found:
                raise DataError(f"{root} holds the row '{row}' twice; keep the folder or one file of it")
            found[row] = _file_rows(child, row)[row] if arrays else _image_set(child)
        return found or {flat_row: _image_set(root)}


def check_given(path: str) -> None:
    """Refuse a `path` that is neither a folder nor a file, before either form is asked for."""
    if not Path(path).expanduser().exists():
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


@dataclass(frozen=True)
class _Held:
    """Images of one row by id, in a folder or a file.

    known : ids; read : ids of some -> positions (n,) among them -> (n, H, W, 3).
    """

    path: Path
    known: Mapping[str, Any]
    read: Callable[[tuple[str, ...]], Callable[[np.ndarray], np.ndarray]]

    @property
    def example(self) -> str:
        return next(iter(self.known), "")

    def of(self, ids: tuple[str, ...]) -> Stimuli:
        """The images called `ids`, in that order.

        Raises
        ------
        DataError
            Some are missing.
        """
        matches = match_ids(ids, self.known, what=str(self.path))
        missing = [name for name in ids if name not in matches]
        if missing:
            few = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            there = len(ids) - len(missing)
            hint = f". To score the other {there} alone, add --allow-missing" if there else ""
            if self.path.is_dir():
                hint = f"; expected files such as {missing[0]}.png{hint}"
            raise DataError(
                f"{self.path} lacks {len(missing)} of {len(ids)} test images ({few}); "
                f"it holds ids such as {self.example}{hint}"
            )
        if extra := len(self.known) - len(ids):
            logger.info(
                "%s: %d images have no stimulus among those scored and are left out", self.path, extra
            )
        return Stimuli(ids, self.read(tuple(matches[name] for name in ids)))


def _file_rows(path: Path, flat_row: str) -> dict[str, _Held]:
    file = ArrayFile(path)
    of_rows = {name: name for name in file.infos if name in ROWS}
    if list(of_rows) == [_IMAGES[0]]:  # a row's name too, but on its own it says no more than the others
        of_rows = {}
    one = next((name for name in _IMAGES if name in file.infos), None)
    if one is None and len(file.infos) == 1 and not of_rows:
        (one,) = file.infos  # whatever it is called, it cannot be mistaken
    names = of_rows or ({} if one is None else {flat_row: one})
    if not names:
        raise DataError(f"{path} has the keys {file.keys}; expected 'reconstructions' and 'ids'")
    return {row: _given(file, name) for row, name in names.items()}


def _given(file: ArrayFile, name: str) -> _Held:
    """The images `name` of a file."""
    array = file.open(name)
    what = f"{file.path}: {name or 'the array'}"
    to_last = _channels(array, what)
    where = {one: k for k, one in enumerate(file.ids(array.shape[0], what="reconstructions"))}

    def reader(ids: tuple[str, ...]) -> Callable[[np.ndarray], np.ndarray]:
        at = np.array([where[one] for one in ids], np.int64)

        def read(positions: np.ndarray) -> np.ndarray:
            return _in_range(to_last(array.take(at[positions])), [ids[k] for k in positions], what)

        return read

    return _Held(file.path, where, reader)


def _channels(array: ArraySource, what: str) -> Any:
    """How to make (n, H, W, 3) of blocks of `array`: colour first, colour last, or grey."""
    shape = array.shape
    if array.dtype.kind not in "iuf":
        raise DataError(f"{what}: images are {array.dtype}; expected uint8, or float in [0, 1]")
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


def _in_range(images: np.ndarray, ids: Sequence[str], what: str) -> np.ndarray:
    """uint8, or float32 in [0, 1]; whole numbers of another type must be those of uint8."""
    flat = images.reshape(len(images), -1)
    if images.dtype == np.uint8 or not len(images):
        return images
    low, high = flat.min(axis=1), flat.max(axis=1)
    top, slack = (255, 0) if images.dtype.kind in "iu" else (1, ROUNDING)
    good = (low >= -slack) & (high <= top + slack)  # False for NaN
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise DataError(
            f"{what}: '{ids[bad]}' holds {images.dtype} from {low[bad]:.4g} to {high[bad]:.4g}; "
            "expected uint8, or float in [0, 1] (divide by 255, or clip)"
        )
    return images.astype(np.uint8) if top == 255 else np.clip(images, 0, 1).astype(np.float32)


def _image_set(folder: Path) -> _Held:
    """The images of a folder, each called by the name of its file."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            if file.stem in found:
                raise DataError(
                    f"{folder}: '{file.stem}' is there twice ({found[file.stem].name}, {file.name})"
                )
            found[file.stem] = file
    if not found:
        raise DataError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)})")

    def reader(ids: tuple[str, ...]) -> Callable[[np.ndarray], np.ndarray]:
        files = [found[name] for name in ids]
        size = _read_image(files[0]).shape

        def read(positions: np.ndarray) -> np.ndarray:
            images = [_read_image(files[k]) for k in positions]
            for k, image in zip(positions, images):
                if image.shape != size:
                    given, expected = (f"{shape[1]}x{shape[0]}" for shape in (image.shape, size))
                    raise DataError(f"{files[k]} is {given}; {files[0].name} is {expected}")
            return np.stack(images)

        return read

    return _Held(folder, found, reader)


def _read_image(file: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as problem:
        raise DataError(f"{file} cannot be read as an image: {problem}") from None
