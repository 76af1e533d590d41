"""Arrays and numbers from a pickled object of a known class; nothing that a pickle could run is run.

Published models that scikit-learn fitted are often pickles.  What they hold, attributes that are arrays,
numbers and texts, is read without the classes: each is replaced by :class:`Parts`, which only keeps.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .present import existing_file

NUMPY = frozenset(
    {
        ("core.multiarray", "_reconstruct"),
        ("core.multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }
)
"""What numpy's arrays and numbers are made of in a pickle, without the first part of their module."""


class Parts:
    """Stands for an object of a pickle: what it was built from, and the content that was set afterwards."""

    def __init__(self, *given: Any) -> None:
        self.given = given
        self.content: Any = None

    def __setstate__(self, state: Any) -> None:
        self.content = state


class PartsUnpickler(pickle.Unpickler):
    """Builds dictionaries, lists, texts and numbers, and :class:`Parts` of arrays and of `classes`."""

    classes: frozenset[str] = frozenset()

    def find_class(self, module: str, name: str) -> Any:
        home = module.removeprefix("numpy.").removeprefix("_")
        if (home, name) in NUMPY or f"{module}.{name}" in self.classes:
            return Parts
        raise pickle.UnpicklingError(f"it wants {module}.{name}")


def read_pickled_arrays(path: Path, *, of: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The attributes `names` of the one object of class `of` (``module.Class``) that the pickle `path` holds.

    Protocols 3 and 4, in which numpy's arrays carry their bytes; others call functions for them.

    Raises
    ------
    DataError
        There is no such file, or it is another object, wants any other class or function, or holds an
        attribute that is no array of numbers.
    """
    path = existing_file(path)
    reader = type("Reader", (PartsUnpickler,), {"classes": frozenset({of})})
    try:
        with path.open("rb") as file:
            held = reader(file).load()
        if not isinstance(held, Parts) or not isinstance(held.content, dict):
            raise ValueError(f"it holds {type(held).__name__}")
        return {name: _array(held.content[name]) for name in names}
    except Exception as problem:  # an altered pickle raises nearly anything
        what = f"{type(problem).__name__}: {problem}"
        raise DataError(f"{path} is no pickled {of}: {what}") from None


def _array(held: Any) -> np.ndarray:
    """The numpy array that :class:`Parts` stand for."""
    _, shape, dtype, fortran, content = held.content
    order = str(dtype.content[1]) if dtype.content else "="
    kind = np.dtype(str(dtype.given[0])).newbyteorder(order if order in "<>" else "=")
    if kind.kind not in "biuf" or not isinstance(content, bytes):
        raise ValueError(f"an array of {kind}")
    return np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
