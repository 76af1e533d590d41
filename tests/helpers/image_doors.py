"""The doors by which images come in: stimuli and reconstructions, in folders and in arrays."""

from __future__ import annotations

import io

import numpy as np

from harness.benchmarks.paired import Paired
from harness.data import Stimuli
from harness.settings import resolve_params
from harness.stages.reconstructions import GivenImages

IDS = ("t0", "t1", "t2", "t3")
PICTURES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


# Doors: what a user has -> (4, H, W, 3) as the engine gets it.


def stimuli(folder, *, images, **params):
    np.savez(folder / "y.npz", y=np.random.default_rng(1).normal(size=(4, 3)))
    (folder / "ids.txt").write_text("\n".join(IDS))
    data = {"images": images, "responses": "y", "ids": "ids.txt"}
    given = {"base_dir": str(folder), "file": "y.npz", "data": data, "test_ids": ["t3"], "units": "raw"}
    loaded = Paired(resolve_params(Paired.Params, given | params, section="benchmark")).load("subj01")
    return np.concatenate([loaded.train.stimuli.images(), loaded.test.stimuli.images()])


def reconstructions(path, form):
    wanted = Stimuli.from_array(IDS, np.zeros((4, 8, 8, 3), np.uint8))
    (images,) = GivenImages(str(path), form).rows(wanted, flat_row="reconstructions").values()
    return images.images()


def save_files(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def stimuli_folder(folder, files, **params):
    save_files(folder / "im", files)
    return stimuli(folder, images="im/", **params)


def reconstruction_folder(folder, files):
    save_files(folder / "rec", files)
    return reconstructions(folder / "rec", "folder")


def stimuli_array(folder, array, **params):
    np.save(folder / "im.npy", array)
    return stimuli(folder, images="im.npy", image_layout="nhwc", **params)


def reconstruction_file(folder, array, ids=IDS):
    np.savez(folder / "rec.npz", reconstructions=array, ids=np.array(ids))
    return reconstructions(folder / "rec.npz", "file")


FOLDERS = [stimuli_folder, reconstruction_folder]
ARRAYS = [stimuli_array, reconstruction_file]


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


UNIT = PICTURES / 255
OVERSHOT = UNIT.copy()
OVERSHOT[0, 3, 3, 1], OVERSHOT[2, 1, 1] = 1.04, -0.03
