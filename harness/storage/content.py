"""Values as JSON, as files and as hashes: the little that every function which makes an artifact needs.

It imports nothing else of the store, so that what makes an artifact does not depend on how it is kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError


def digest(value: Any) -> str:
    """SHA-256 of a canonical JSON form of nested dataclasses, mappings, sequences and scalars."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


def plain(value: Any) -> Any:
    """`value` as JSON types; arrays become their dtype, shape and content hash."""
    if type(value) in _AS_THEY_ARE:  # nearly all, by the hundred thousand in one run
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(item) for item in items]
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), content]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def save_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Write ``name.npy``; object arrays are refused, so reading never needs pickle."""
    array = np.ascontiguousarray(array)
    if array.dtype.hasobject:
        raise DataError(f"array '{name}' holds Python objects; only numbers, booleans and strings are stored")
    np.save(folder / f"{name}.npy", array, allow_pickle=False)


def save_json(folder: Path, name: str, value: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(plain(value), sort_keys=True))


def file_sha(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
