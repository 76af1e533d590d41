"""Benchmark ``kriegeskorte2008``: 92 photographs of objects and RDMs of human and monkey IT.

Kriegeskorte et al. 2008 (Neuron 60:1126), in the files that rsatoolbox distributes: ``92images.mat`` with the
photographs, their labels and the RDMs of figure 1, ``brain_rdms.mat`` with those of four subjects in two
sessions.
There are no voxels: models are compared by ``harness rsa``, and what was made elsewhere by ``harness score``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.api import DataError, Stimuli, SubjectData
from harness.reading.matlab import matlab_structs

from .stimuli_only import unmeasured

IMAGES, RDMS = "*92images.mat", "*brain_rdms.mat"
LABELS = ("category", "animal", "human", "face", "natural")

WHERE = "github rsagroup/rsatoolbox, demos/92imageData"


class Kriegeskorte2008:
    """92 photographs of objects, and how dissimilar human and monkey IT finds them; no voxels."""

    version = "1"
    simulated = False
    generated = False
    measured = False

    @dataclass(frozen=True)
    class Params:
        """root : the folder of the two files."""

        root: str = ""

    def __init__(self, params: Params) -> None:
        self.params = params

    @staticmethod
    def missing(params: Params, *, subject: str) -> tuple[str, ...]:
        """A line where a file is not there."""
        lacking = [pattern for pattern in (IMAGES, RDMS) if _file(params, pattern) is None]
        if not lacking:
            return ()
        where = f"'{params.root}' lacks" if params.root else "no folder is given that holds"
        return (f"{where} {' and '.join(lacking)}; they are in {WHERE}. Type: --set benchmark.root=FOLDER",)

    def subjects(self) -> Sequence[str]:
        """``human``."""
        return ("human",)

    def load(self, subject: str) -> SubjectData:
        """The photographs, with labels; no training images."""
        items = matlab_structs(self._required(IMAGES), "stimuli_92objs")
        images = np.stack([np.asarray(item["image"], np.uint8) for item in items])
        if images.ndim != 4 or images.shape[3] != 3:
            raise DataError(f"the photographs have shape {images.shape}; expected (images, height, width, 3)")
        labels = {name: [_word(item[name]) for item in items] for name in LABELS}
        ids = [f"image-{k + 1:03d}" for k in range(len(images))]
        stimuli = Stimuli.from_array(ids, images, labels={name: np.array(v) for name, v in labels.items()})
        return unmeasured("kriegeskorte2008", subject, stimuli)

    def rdms(self) -> Mapping[str, np.ndarray]:
        """Subject -> (sessions, pairs) dissimilarities, upper triangles row by row."""
        measured: dict[str, list[np.ndarray]] = {}
        for item in matlab_structs(self._required(RDMS), "RDMs"):
            words = [word.strip() for word in _word(item["name"]).split("|")]
            measured.setdefault(words[1] if len(words) > 1 else words[0], []).append(_triangle(item["RDM"]))
        return {name: np.stack(sessions) for name, sessions in measured.items()}

    def other_rdms(self) -> Mapping[str, np.ndarray]:
        """``monkey``: IT of two monkeys, 674 neurons."""
        shown = matlab_structs(self._required(IMAGES), "RDMs_mIT_hIT_fig1")
        of_monkeys = [item["RDM"] for item in shown if _word(item["name"]).startswith("mIT")]
        return {"monkey": _triangle(of_monkeys[0])} if of_monkeys else {}

    def _required(self, pattern: str) -> Path:
        file = _file(self.params, pattern)
        if file is None:
            raise DataError(self.missing(self.params, subject="human")[0])
        return file


def _file(params: Any, pattern: str) -> Path | None:
    root = Path(params.root).expanduser()
    return next(iter(sorted(root.glob(pattern))), None) if params.root and root.is_dir() else None


def _triangle(values: np.ndarray) -> np.ndarray:
    """(pairs,) of a matrix (N, N), or of its triangle as it is stored."""
    values = np.asarray(values, np.float64)
    return values[np.triu_indices(len(values), 1)] if values.shape[0] == values.shape[1] else values.ravel()


def _word(value: np.ndarray) -> str:
    content = np.asarray(value).ravel()
    return str(content[0]) if content.dtype.kind == "U" else str(int(content[0]))
