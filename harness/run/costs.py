"""What a run cost: numbers that fits keep, processor time, memory of the process and of its accelerator."""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..storage.store import Store

TIMED = ("encode", "decode")
"""Stages whose processor time a record holds."""

_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def fitted_parameters(keys: Mapping[str, str], store: Store) -> dict[str, int]:
    """Floating-point numbers that the fit of each part keeps; nothing of a part that was not fitted here.

    keys : part (``encoder``, ``decoder``) -> key of its artifact.  Of a pretrained network that a part loads
    for itself nothing is counted.
    """
    folders = {part: store.folder("fit", key) for part, key in keys.items() if key}
    return {part: stored_numbers(folder) for part, folder in folders.items() if folder.is_dir()}


def cpu_seconds(keys: Mapping[str, str], store: Store) -> dict[str, float]:
    """Processor seconds of what the run used, when it was made, in this run or before: ``fit PART`` of each
    part that was fitted, and the stages of :data:`TIMED`.

    On an accelerator they are those of the processor beside it.  What an older store kept says nothing.

    keys : part -> key of its artifact; ``encoder`` and what that was adapted from are one.
    """
    fits: dict[str, list[str]] = {}
    for part, key in keys.items():
        if key:
            fits.setdefault(f"fit {part.partition(' ')[0]}", []).append(key)
    seconds = {name: store.cpu_seconds("fit", own) for name, own in fits.items()}
    seconds |= {stage: store.cpu_seconds(stage, store.used.get(stage, ())) for stage in TIMED}
    return {name: value for name, value in seconds.items() if value is not None}


def stored_numbers(folder: Path) -> int:
    """Floating-point numbers in the ``.safetensors``, ``.npy`` and ``.npz`` files of `folder` and below."""
    total = 0
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".safetensors":
            total += _in_safetensors(file)
        elif file.suffix == ".npy":
            total += _count(np.load(file, mmap_mode="r", allow_pickle=False))
        elif file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                total += sum(_count(arrays[name]) for name in arrays.files)
    return total


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def peak_device_memory_mb(device: str) -> float | None:
    """Most memory that this process had on its CUDA device; None elsewhere."""
    if not device.startswith("cuda"):
        return None
    import torch

    return round(torch.cuda.max_memory_allocated(device) / 1024**2, 1)


def _in_safetensors(file: Path) -> int:
    with open(file, "rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    return sum(math.prod(entry["shape"]) for entry in tensors if entry["dtype"] in _FLOATS)


def _count(array: np.ndarray) -> int:
    return array.size if array.dtype.kind == "f" else 0
