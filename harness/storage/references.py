"""Where arrays lie: what a task is sent in place of the numbers, and loads where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from ..data import ImageSet

Images = TypeVar("Images", bound=ImageSet)


class Reference(Protocol):
    """Something picklable that loads a value in any process of this machine."""

    def load(self) -> Any: ...


@dataclass(frozen=True)
class Held:
    """A value sent as it is: text, labels, a mask; or an array for a task of this very process."""

    value: Any

    def load(self) -> Any:
        """The value."""
        return self.value


@dataclass(frozen=True)
class Filed:
    """An array in an ``.npy`` file, memory-mapped."""

    file: str

    def load(self) -> np.ndarray:
        """The array, read-only."""
        return np.load(self.file, mmap_mode="r", allow_pickle=False)


@dataclass(frozen=True)
class Rows:
    """(N, D) rows of several arrays one after the other, what lies behind the first axis flattened."""

    parts: tuple[Reference, ...]

    def load(self) -> np.ndarray:
        """(N, D), the parts joined."""
        arrays = [np.asarray(part.load()) for part in self.parts]
        return np.concatenate([array.reshape(len(array), -1) for array in arrays])


@dataclass(frozen=True)
class Columns:
    """Some columns (last axis) of an array."""

    of: Reference
    at: np.ndarray

    def load(self) -> np.ndarray:
        """(..., len(at))."""
        return np.asarray(self.of.load())[..., self.at]


def filed(folders: Sequence[Path], name: str) -> Rows:
    """Rows of the arrays ``name.npy`` in `folders`."""
    return Rows(tuple(Filed(str(folder / f"{name}.npy")) for folder in folders))


@dataclass(frozen=True)
class FileReader:
    """Reads images (N, H, W, 3) of an ``.npy`` file."""

    file: str
    portable = True

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(np.load(self.file, mmap_mode="r", allow_pickle=False)[positions])


@dataclass(frozen=True)
class Pictures:
    """Images (n, H, W, 3) of an image set that reads anywhere."""

    stimuli: ImageSet

    def load(self) -> np.ndarray:
        """The images, in order."""
        return np.asarray(self.stimuli.images())


def pictures(stimuli: ImageSet) -> Reference:
    """A reference to the images of `stimuli`: where they lie or, if no other process can read, themselves."""
    return Pictures(stimuli) if stimuli.portable else Held(np.asarray(stimuli.images()))


def readable(stimuli: Images) -> Images:
    """`stimuli` as another process can read them; those that it cannot are read here and sent along."""
    return stimuli if stimuli.portable else stimuli.held()
