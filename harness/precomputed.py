"""What was made elsewhere: predictions in a file, reconstructions in a folder, matched by id.

``file:predictions.npz`` (or ``.h5``) holds ``predictions`` (N, V) or (N, S, V) and ``ids`` (N,);
``file:predictions.npy`` has its ids in ``predictions.ids.txt`` (one a line) or ``.ids.json``.
``folder:recons/`` holds one image per test image, named by id (``test-00007.png``), or such folders
named by row (``recons/predicted/``, ``recons/measured/``).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .data import Stimuli, SubjectData, VoxelSpace
from .errors import DataError, SpaceMismatch
from .plugins import PluginRef
from .rows import ROWS
from .store import file_sha

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_NAMES = ("predictions", "responses", "betas")


def predictions_ref(file: str) -> PluginRef:
    """The encoder that reads predictions from `file`."""
    target = f"{__name__}:FilePredictions"
    return PluginRef("encoders", f"file:{file}", target, "fmri-harness", "")


class FilePredictions:
    """An encoder whose responses are read from a file, never computed."""

    version: ClassVar[str] = "1"

    @dataclass(frozen=True)
    class Params:
        """path : the file; see the module's first lines for its form."""

        path: str

    def __init__(self, params: Params) -> None:
        self.params = params
        self.path = Path(params.path).expanduser()
        if not self.path.is_file():
            raise DataError(f"--encoder file:{params.path}: there is no such file")

    @cached_property
    def _content(self) -> tuple[dict[str, int], np.ndarray]:
        ids, values = read_predictions(self.path)
        return {name: k for k, name in enumerate(ids)}, values

    @property
    def stochastic(self) -> bool:
        """True when the file holds several samples per image."""
        return self._content[1].shape[1] > 1

    def identity(self) -> str:
        """SHA-256 of the file and of its ids' file."""
        sidecars = [file for file in _sidecars(self.path) if file.is_file()]
        return hashlib.sha256("".join(file_sha(f) for f in (self.path, *sidecars)).encode()).hexdigest()

    def wants(self) -> Sequence[tuple[str, str]]:
        return ()

    def fit(self, subjects: Sequence[SubjectData], features: Any, **_: Any) -> None:
        """Nothing to learn."""

    def predict(self, stimuli: Stimuli, features: Any, *, space: VoxelSpace, seeds: np.ndarray) -> np.ndarray:
        """(N, S, V) the file's rows for `stimuli`; extra ids are left out, missing ones are an error."""
        rows, values = self._content
        missing = [name for name in stimuli.ids if name not in rows]
        if missing:
            raise DataError(
                f"{self.path} has no prediction for {len(missing)} of {len(stimuli)} test images "
                f"(first: '{missing[0]}'; the file's first id: '{next(iter(rows), '')}')"
            )
        if values.shape[2] != space.n_voxels:
            raise SpaceMismatch(
                f"{self.path} holds {values.shape[2]} voxels; {space.subject} has {space.n_voxels} "
                f"(mask '{space.mask}'). Is it another subject or mask?"
            )
        samples = seeds.shape[1]
        if samples > values.shape[1]:
            if values.shape[1] > 1:
                raise DataError(
                    f"{self.path} holds {values.shape[1]} samples per image; --samples is {samples}"
                )
            values = np.repeat(values, samples, axis=1)
        return values[[rows[name] for name in stimuli.ids], :samples]

    def save(self, folder: Path) -> None:
        (folder / "path.txt").write_text(str(self.path))

    @classmethod
    def load(cls, folder: Path, params: Params, *, device: str) -> FilePredictions:
        return cls(params)


def read_predictions(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Ids (N,) and values (N, S, V) of a predictions file; nothing pickled is read."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            values, ids = np.load(path, allow_pickle=False), _sidecar_ids(path)
        elif suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                values, ids = _named(file, path)
        elif suffix in (".h5", ".hdf5"):
            import h5py

            with h5py.File(path, "r") as file:
                values, ids = _named(file, path)
        else:
            raise DataError(f"{path}: predictions are read from .npy, .npz and .h5")
    except DataError:
        raise
    except Exception as problem:  # truncated, pickled or not such a file at all
        raise DataError(
            f"{path} cannot be read as {suffix}: {problem}. It may be cut off or pickled"
        ) from None
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise DataError(f"{path}: predictions are {values.dtype}; expected numbers")
    if values.ndim == 2:
        values = values[:, None, :]
    if values.ndim != 3 or 0 in values.shape:
        raise DataError(
            f"{path}: predictions have shape {values.shape}; expected (images, voxels) or (N, S, V)"
        )
    names = tuple(_text(name) for name in np.asarray(ids).reshape(-1))
    if len(names) != len(values):
        raise DataError(f"{path}: {len(names)} ids for {len(values)} predictions")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: id '{twice}' occurs more than once")
    return names, values.astype(np.float32)


def _named(file: Any, path: Path) -> tuple[np.ndarray, np.ndarray]:
    keys = list(file.keys())
    found = next((name for name in _NAMES if name in keys), None)
    if found is None or "ids" not in keys:
        raise DataError(f"{path} has the keys {', '.join(keys) or 'none'}; expected 'predictions' and 'ids'")
    return file[found][()] if hasattr(file[found], "chunks") else file[found], file["ids"][()]


def _sidecars(path: Path) -> tuple[Path, Path]:
    return path.with_suffix(".ids.txt"), path.with_suffix(".ids.json")


def _sidecar_ids(path: Path) -> np.ndarray:
    text, listed = _sidecars(path)
    if text.is_file():
        return np.array([line.strip() for line in text.read_text().splitlines() if line.strip()])
    if listed.is_file():
        return np.array([str(name) for name in json.loads(listed.read_text())])
    raise DataError(
        f"{path} says nothing of ids; put one id a line, in the order of its rows, into {text.name}"
    )


def _text(name: Any) -> str:
    if isinstance(name, bytes):
        return name.decode()
    if isinstance(name, np.generic):
        name = name.item()
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return name.decode() if isinstance(name, bytes) else str(name)


@dataclass(frozen=True)
class ReconstructionFolder:
    """Finished images, in place of a decoder."""

    path: str

    @property
    def name(self) -> str:
        return f"folder:{self.path}"

    def rows(self, stimuli: Stimuli, *, flat_row: str) -> dict[str, Stimuli]:
        """Row -> image set with the ids of `stimuli`; images lying flat are called `flat_row`."""
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataError(
                f"{root} is not a folder; give one that holds an image per test image, named by id"
            )
        inner = {
            child.name: child for child in sorted(root.iterdir()) if child.is_dir() and child.name in ROWS
        }
        folders = inner or {flat_row: root}
        return {row: _image_set(folder, stimuli) for row, folder in folders.items()}


def _image_set(folder: Path, stimuli: Stimuli) -> Stimuli:
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
    missing = [name for name in stimuli.ids if name not in found]
    if missing:
        raise DataError(
            f"{folder} lacks {len(missing)} of {len(stimuli)} test images; expected files such as "
            f"{missing[0]}.png, found such as {next(iter(found.values())).name}"
        )
    extra = len(found) - len(stimuli)
    if extra:
        logger.info("%s: %d images have no stimulus among those scored and are left out", folder, extra)
    files = [found[name] for name in stimuli.ids]
    size = _read_image(files[0]).shape

    def read(positions: np.ndarray) -> np.ndarray:
        images = [_read_image(files[k]) for k in positions]
        for k, image in zip(positions, images):
            if image.shape != size:
                raise DataError(
                    f"{files[k]} is {image.shape[1]}x{image.shape[0]}; {files[0].name} is {size[1]}x{size[0]}"
                )
        return np.stack(images)

    return Stimuli(stimuli.ids, read)


def _read_image(file: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as problem:
        raise DataError(f"{file} cannot be read as an image: {problem}") from None
