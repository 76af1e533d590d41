"""Predictions and reconstructions as other people write them, in every format."""

from __future__ import annotations

import h5py
import numpy as np
import torch
from PIL import Image

FORMATS = [".npz", ".h5", ".npy", ".pt", ".pth"]


def write(path, ids, values, name="predictions", units=()):
    """`units` : what the file says of these, in formats that can."""
    more = {"units": [units] if isinstance(units, str) else list(units)} if units else {}
    if path.suffix == ".npz":
        np.savez(path, **{name: values, "ids": np.array(ids)}, **more)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["betas" if name == "predictions" else name] = values
            file["ids"] = [name.encode() for name in ids]
            for key, texts in more.items():
                file[key] = [text.encode() for text in texts]
    elif path.suffix in (".pt", ".pth"):
        torch.save({name: torch.from_numpy(np.asarray(values)), "ids": list(ids)}, path)
    else:
        np.save(path, values)
        path.with_suffix(".ids.txt").write_text("\n".join(ids) + "\n")


def save_images(folder, ids, images):
    folder.mkdir(parents=True)
    for name, image in zip(ids, images):
        Image.fromarray(image).save(folder / f"{name}.png")
