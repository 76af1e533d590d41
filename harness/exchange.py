"""Data as plain arrays and JSON in a folder, for a plugin in another Python environment (numpy alone).

Both sides read and write with these functions: ``.npy`` without objects, and JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .data import Decoded, Responses, Split, Stimuli, SubjectData, VoxelSpace

_SPACE = ("dataset", "subject", "mask", "n_voxels", "units", "voxels_sha", "template")
_PLACED = ("valid", "ncsnr", "coordinates", "vertices")


def write_array(folder: Path, name: str, values: np.ndarray) -> None:
    """``name.npy``."""
    np.save(folder / f"{name}.npy", np.asarray(values), allow_pickle=False)


def read_array(folder: Path, name: str) -> np.ndarray:
    """What :func:`write_array` wrote, as a memory map."""
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def write_json(folder: Path, name: str, content: Any) -> None:
    """``name.json``."""
    (folder / f"{name}.json").write_text(json.dumps(content))


def read_json(folder: Path, name: str) -> Any:
    """What :func:`write_json` wrote."""
    return json.loads((folder / f"{name}.json").read_text())


def write_space(folder: Path, space: VoxelSpace) -> None:
    """All of a voxel space but where its ceiling is from."""
    tables = {kind: list(getattr(space, kind)) for kind in ("rois", "groups")}
    write_json(folder, "space", {name: getattr(space, name) for name in _SPACE} | tables)
    for kind, names in tables.items():
        for number, name in enumerate(names):
            write_array(folder, f"{kind}_{number}", getattr(space, kind)[name])
    for name in _PLACED:
        if getattr(space, name) is not None:
            write_array(folder, f"space_{name}", getattr(space, name))


def read_space(folder: Path) -> VoxelSpace:
    """What :func:`write_space` wrote."""
    names = read_json(folder, "space")
    tables = {
        kind: {name: read_array(folder, f"{kind}_{k}") for k, name in enumerate(names.pop(kind))}
        for kind in ("rois", "groups")
    }
    arrays = {
        name: read_array(folder, f"space_{name}")
        for name in _PLACED
        if (folder / f"space_{name}.npy").is_file()
    }
    return VoxelSpace(**names, **tables, **arrays)


def write_responses(folder: Path, responses: Responses) -> None:
    """Trials with their space, ids and places."""
    write_space(folder, responses.space)
    write_json(folder, "ids", list(responses.ids))
    write_array(folder, "trials", responses.trials())
    for name in ("image_index", "session", "trial_number"):
        write_array(folder, name, getattr(responses, name))


def read_responses(folder: Path, space: VoxelSpace | None = None) -> Responses:
    """What :func:`write_responses` wrote."""
    more = {name: np.array(read_array(folder, name)) for name in ("session", "trial_number")}
    trials, index = read_array(folder, "trials"), np.array(read_array(folder, "image_index"))
    return Responses(space or read_space(folder), read_json(folder, "ids"), trials, index, **more)


def write_subject(folder: Path, subject: SubjectData) -> None:
    """What a decoder is fitted on: training images and responses."""
    write_responses(folder, subject.train.responses)
    stimuli, kept = subject.train.stimuli, None
    place = 0
    for _, images in stimuli.batches(256):
        if kept is None:
            shape = (len(stimuli), *images.shape[1:])
            kept = np.lib.format.open_memmap(folder / "images.npy", "w+", images.dtype, shape)
        kept[place : place + len(images)] = images
        place += len(images)
    texts = stimuli.references
    write_json(folder, "captions", None if texts is None else [list(of_image) for of_image in texts])


def read_subject(folder: Path) -> SubjectData:
    """What :func:`write_subject` wrote."""
    responses = read_responses(folder)
    captions = read_json(folder, "captions")
    images = read_array(folder, "images")
    stimuli = Stimuli.from_array(responses.ids, images, captions=captions)
    return SubjectData(responses.space, Split(stimuli, responses), None)


def write_decoded(folder: Path, decoded: Decoded) -> None:
    """Images and whatever else the decoder gave."""
    write_array(folder, "decoded_images", decoded.images)
    for name in ("embedding", "low_level"):
        if getattr(decoded, name) is not None:
            write_array(folder, f"decoded_{name}", getattr(decoded, name))
    write_json(folder, "decoded_caption", None if decoded.caption is None else list(decoded.caption))


def read_decoded(folder: Path) -> Decoded:
    """What :func:`write_decoded` wrote, in memory: the folder may go."""
    arrays = {
        name: np.array(read_array(folder, f"decoded_{name}"))
        for name in ("images", "embedding", "low_level")
        if (folder / f"decoded_{name}.npy").is_file()
    }
    caption = read_json(folder, "decoded_caption")
    return Decoded(**arrays, caption=None if caption is None else tuple(caption))
