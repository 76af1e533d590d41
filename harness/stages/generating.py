"""A subject that a benchmark generates, as plain arrays and JSON: what makes its artifact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Responses, Stimuli, SubjectData
from ..storage.content import save_array, save_json
from .guard import guarded
from .model import Configured


def generate_subject(folder: Path, benchmark: Configured, subject: str) -> None:
    """Let `benchmark` generate `subject`, and write it."""
    write_subject(loaded_subject(benchmark, subject), folder)


def loaded_subject(benchmark: Configured, subject: str) -> SubjectData:
    """What `benchmark` gives for `subject`."""
    return guarded(benchmark.ref, f"cannot load {subject}", lambda: benchmark.build().load(subject))


def write_subject(data: SubjectData, folder: Path) -> None:
    """Write everything of `data` as plain arrays and JSON."""
    space = data.space
    optional = {name: getattr(space, name) for name in ("ncsnr", "coordinates", "valid", "vertices")}
    for name, array in optional.items():
        if array is not None:
            save_array(folder, f"space_{name}", array)
    for table in ("rois", "groups"):
        for number, members in enumerate(getattr(space, table).values()):
            save_array(folder, f"space_{table}_{number}", members)
    meta: dict[str, Any] = {
        "space": {
            n: getattr(space, n)
            for n in ("dataset", "subject", "mask", "n_voxels", "units", "voxels_sha", "template")
        },
        "rois": list(space.rois),
        "groups": list(space.groups),
        "ncsnr_source": None if space.ncsnr_source is None else asdict(space.ncsnr_source),
        "sets": {},
    }
    for name, split in (("train", data.train), ("test", data.test)):
        _write_stimuli(split.stimuli, folder, name, meta["sets"])
        _write_responses(split.responses, folder, name)
    for name in ("truth", "remeasured"):
        if getattr(data, name) is not None:
            _write_responses(getattr(data, name), folder, name)
    save_json(folder, "subject", meta)


def _write_stimuli(stimuli: Stimuli, folder: Path, name: str, sets: dict[str, Any]) -> None:
    save_array(folder, f"{name}_images", stimuli.images())
    sets[name] = {
        "ids": stimuli.ids,
        "captions": stimuli.references,
        "hashes": stimuli.image_hashes(),
        "labels": list(stimuli.labels),
    }
    for number, values in enumerate(stimuli.labels.values()):
        save_array(folder, f"{name}_label_{number}", values)


def _write_responses(responses: Responses, folder: Path, name: str) -> None:
    save_array(folder, f"{name}_responses", np.asarray(responses.data[:], np.float32))
    save_array(folder, f"{name}_image_index", responses.image_index)
    save_array(folder, f"{name}_session", responses.session)
    save_json(folder, f"{name}_sha", responses.data_sha())
