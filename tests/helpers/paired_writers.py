"""Write the same named arrays in every format that the `paired` benchmark reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import scipy.io

MATLAB_CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}
FORMATS = ("mat5", "mat73", "npz", "h5", "npy")


def write_arrays(folder: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write `arrays` as `kind`; return name -> reference for the benchmark's parameters."""
    if kind == "npy":
        for name, values in arrays.items():
            np.save(folder / f"{name}.npy", values)
        return {name: f"{name}.npy" for name in arrays}
    file = {"mat5": "data5.mat", "mat73": "data73.mat", "npz": "data.npz", "h5": "data.h5"}[kind]
    path = folder / file
    if kind == "mat5":
        texts = {k: v.astype(object) if v.dtype.kind == "U" else v for k, v in arrays.items()}
        scipy.io.savemat(path, texts, do_compression=True)
    elif kind == "npz":
        np.savez(path, **arrays)
    elif kind == "h5":
        with h5py.File(path, "w") as out:
            for name, values in arrays.items():
                out[name] = values.astype(object) if values.dtype.kind == "U" else values
    else:
        write_matlab73(path, arrays)
    return {name: f"{file}:{name}" for name in arrays}


def write_matlab73(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A file as MATLAB's ``save -v7.3`` lays it out: 512-byte user block, reversed axes, classes."""
    with h5py.File(path, "w", userblock_size=512) as out:
        for name, values in arrays.items():
            values = np.atleast_2d(values)
            if values.dtype.kind == "U":
                _write_cellstr(out, name, values)
                continue
            kind = MATLAB_CLASSES.get(str(values.dtype), str(values.dtype))
            stored = values.astype(np.uint8) if kind == "logical" else values
            item = out.create_dataset(name, data=stored.T, compression="gzip")
            item.attrs["MATLAB_class"] = np.bytes_(kind)
            if kind == "logical":
                item.attrs["MATLAB_int_decode"] = np.int32(1)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def _write_cellstr(out: h5py.File, name: str, texts: np.ndarray) -> None:
    cells = []
    for k, text in enumerate(texts.T.ravel(order="F")):
        cell = out.create_dataset(f"#refs#/{name}{k}", data=np.array([[ord(c)] for c in text], np.uint16))
        cell.attrs["MATLAB_class"] = np.bytes_("char")
        cells.append(cell.ref)
    item = out.create_dataset(name, data=np.array(cells, h5py.ref_dtype).reshape(texts.T.shape))
    item.attrs["MATLAB_class"] = np.bytes_("cell")
