"""Names of regions from a pickled dictionary in a ``.npy``; nothing that a pickle could run is run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from .pickled_arrays import Parts, PartsUnpickler

_LARGEST = 1 << 20


def read_pickled_names(path: Path) -> dict[int, str]:
    """Number -> name of a ``.npy`` that holds one pickled dictionary of numbers and texts.

    Raises
    ------
    DataError
        Anything else, larger than a table of names can be, or a pickle that wants any class or function.
    """
    if path.stat().st_size > _LARGEST:
        raise DataError(f"{path} is {path.stat().st_size:,} bytes; a table of names is far smaller")
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read_header = np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(file)
            if not dtype.hasobject or shape != ():
                raise ValueError(f"it is an array of {dtype}, {shape}")
            held = PartsUnpickler(file).load()
    except Exception as problem:  # an altered pickle raises nearly anything
        raise DataError(f"{path} is no table of region names: {problem}") from None
    while isinstance(held, Parts):
        held = held.content
    while isinstance(held, (tuple, list)) and held:
        held = held[-1]
    if not isinstance(held, dict):
        raise DataError(f"{path} holds {type(held).__name__}; expected a dictionary of numbers and names")
    names = {}
    for number, name in held.items():
        if isinstance(number, bool) or not isinstance(number, int) or not isinstance(name, str):
            raise DataError(f"{path} holds {number!r}: {name!r}; expected a number and a name")
        names[number] = name
    return names
