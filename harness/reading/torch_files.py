"""Tensors, arrays and lists of a ``.pt`` file; of its pickle nothing else is ever unpickled."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .sources import ArrayInfo, ArraySource, Entry, MemoryArray

_MOST_ENTRIES = 100_000
"""Tensors of a file that are looked at."""


def torch_entries(path: Path) -> list[Entry]:
    """A tensor without a name, or those of a dictionary; inner dictionaries are named with slashes.

    Raises
    ------
    DataError
        The pickle holds anything but tensors, numpy arrays, texts, numbers, lists and dictionaries.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_of_arrays()):
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise _refusal(path) from None
    _require_held(held, path)
    if isinstance(held, (torch.Tensor, np.ndarray)):
        array = _as_array(held)
        return [Entry(_info(path.stem, array, bare=True), lambda: MemoryArray(array, path.name))]
    if not isinstance(held, Mapping):
        raise _refusal(path)
    entries = []
    for name, value in _flat(held):
        array = _as_array(value)
        entries.append(Entry(_info(name, array), partial(_open, path, name, array, type(value).__name__)))
    return entries


def _refusal(path: Path) -> DataError:
    return DataError(
        f"{path} holds something other than tensors, or is damaged; nothing else is read from a pickle. "
        "Save tensors alone: torch.save({'reconstructions': images, 'ids': ids}, 'recons.pt')"
    )


def _of_arrays() -> list[Any]:
    """What numpy's arrays and scalars of numbers and text are unpickled with; none of it runs code."""
    scalar = np.float64(0).__reduce__()[0]
    rebuild = np.zeros(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in ("?bBhHiIlLqQefdgUS")}
    # numpy 1 and 2 call the home of these functions by other names; files of both are read.
    named = [
        (function, f"{home}.multiarray.{name}")
        for home in ("numpy.core", "numpy._core")
        for function, name in ((rebuild, "_reconstruct"), (scalar, "scalar"))
    ]
    return [*named, np.ndarray, np.dtype, *kinds]


def _flat(held: Mapping[Any, Any], prefix: str = "", depth: int = 8) -> Iterator[tuple[str, Any]]:
    for name, value in held.items():
        if isinstance(value, Mapping) and depth:
            yield from _flat(value, f"{prefix}{name}/", depth - 1)
        else:
            yield f"{prefix}{name}", value


def _require_held(held: Any, path: Path) -> None:
    """Refuse tensors that are spread from fewer numbers than they claim, and dictionaries that stand in each
    other many times over: ten of them can name a billion."""
    import torch

    size = path.stat().st_size
    values = _flat(held) if isinstance(held, Mapping) else [("", held)]
    for count, (name, value) in enumerate(values):
        if count >= _MOST_ENTRIES:
            raise DataError(f"{path} names more than {_MOST_ENTRIES:,} tensors; save those that are needed")
        if isinstance(value, torch.Tensor) and value.numel() * value.element_size() > size:
            claimed = value.numel() * value.element_size()
            raise DataError(
                f"'{name or path.stem}' of {path.name} claims {claimed:,} bytes and the file has {size:,}; "
                "save tensor.contiguous(), or copy the file again"
            )


def _as_array(value: Any) -> np.ndarray | None:
    """`value` as an array of numbers or text; None for anything else."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized:
            return None
        tensor = value.detach()
        if tensor.dtype == torch.bfloat16:  # unknown to numpy
            tensor = tensor.float()
        try:
            return tensor.resolve_conj().resolve_neg().numpy()
        except (TypeError, RuntimeError):  # 8-bit floats and the like
            return None
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(entry, torch.Tensor) and entry.ndim == 0 for entry in value):
            value = [entry.item() for entry in value]
        kinds = ((str,), (bytes,), (int, float, np.number))
        alike = any(all(isinstance(entry, kind) for entry in value) for kind in kinds)
        return np.array(value) if alike else None
    if isinstance(value, (str, bytes, int, float, np.generic, np.ndarray)):
        array = np.asarray(value)
        if array.dtype == object and all(isinstance(entry, (str, bytes)) for entry in array.ravel()):
            array = array.astype(str)
        return None if array.dtype.hasobject else array
    return None


def _info(name: str, array: np.ndarray | None, *, bare: bool = False) -> ArrayInfo:
    if array is None:
        return ArrayInfo(name, (), "unsupported", bare=bare)
    return ArrayInfo(name, array.shape, "text" if array.dtype.kind in "US" else str(array.dtype), bare=bare)


def _open(path: Path, name: str, array: np.ndarray | None, kind: str) -> ArraySource:
    if array is None:
        raise DataError(
            f"'{name}' of {path.name} is a {kind} that is no array of numbers or texts; save "
            "images and predictions as tensors and ids as [str(name) for name in ids]"
        )
    return MemoryArray(array, f"'{name}' of {path.name}")
