"""Predictions and reconstructions as other people write them, in every format."""

from __future__ import annotations

import h5py
import numpy as np
import torch
from PIL import Image

FORMATS = [".npz", ".h5", ".npy", ".pt", ".pth"]


def write(path, ids, values, name="predictions"):
    if path.suffix == ".npz":
        np.savez(path, **{name: values, "ids": np.array(ids)})
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["betas" if name == "predictions" else name] = values
            file["ids"] = [name.encode() for name in ids]
    elif path.suffix in (".pt", ".pth"):
        torch.save({name: torch.from_numpy(np.asarray(values)), "ids": list(ids)}, path)
    else:
        np.save(path, values)
        path.with_suffix(".ids.txt").write_text("\n".join(ids) + "\n")


def save_images(folder, ids, images):
    folder.mkdir(parents=True)
    for name, image in zip(ids, images):
        Image.fromarray(image).save(folder / f"{name}.png")
