"""Benchmark ``nsd-imagery``: models trained on NSD's scenes are tested on pictures seen again, and imagined.

Each of twelve runs asks to see, to imagine, or to attend to, the pictures of one of three sets.  A trial of
attention has two betas, of its cue and of what is to be detected, so that betas cannot be counted as trials.
Set C are words, which no one picture stands for; they and attention are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.arrays import ArraySource
from harness.reading.records import read_records

from ..paired_trials import SplitTrials
from .benchmark import chosen_trials
from .nsd_elsewhere import NsdElsewhere
from .recording import trials_of

RUNS = (
    *("visA", "attA", "imgA_1", "visB", "attB", "imgB_1"),
    *("visC", "attC", "imgC_1", "imgA_2", "imgB_2", "imgC_2"),
)
"""In the order in which they were measured."""

TARGETS = {
    "A": {
        "H": "bar_000.0deg_450L_43W",
        "R": "bar_045.0deg_450L_43W",
        "V": "bar_090.0deg_450L_43W",
        "L": "bar_135.0deg_450L_43W",
        "P": "crs_000.0deg_450L_43W",
        "E": "crs_045.0deg_450L_43W",
    },
    "B": {
        "W": "shared0385_nsd28752",
        "K": "shared0413_nsd30857",
        "B": "shared0741_nsd53882",
        "C": "shared0842_nsd61178",
        "D": "shared0907_nsd65873",
        "T": "shared0000_nsd00000",
    },
}
"""Set -> cue -> name of its picture, in the order of NSD's own lists of pairs."""

SIZES = {"A": "simple", "B": "complex"}


class NsdImagery(NsdElsewhere):
    """Twelve pictures, seen 8 times and imagined 16 times; Kneeland et al. 2025."""

    layout: ClassVar[str] = "nsd-imagery"
    images_of: ClassVar[str] = "nsd-imagery"
    default_test: ClassVar[str] = "imagery"
    betas: ClassVar[str] = "imagery_betas"

    def tests(self, root: Path, subject: str, table: ArraySource, session: int) -> Mapping[str, SplitTrials]:
        """``vision`` and ``imagery``, and of each the simple and the complex pictures alone."""
        kinds, cues = self._events(root, subject)
        if len(kinds) != table.shape[0]:
            raise DataError(
                f"{table.what}: {table.shape[0]} betas, and the lists of runs tell of {len(kinds)}, two for "
                "each trial of attention"
            )
        names = [cue for pictures in TARGETS.values() for cue in pictures]
        files = [name for pictures in TARGETS.values() for name in pictures.values()]
        folder = root / "nsddata" / "experiments" / "nsdimagery" / "rawtargetimages"
        images = self.pictures(folder, files, self.resize(root))
        place = {cue: k for k, cue in enumerate(names)}
        shown = np.array([place.get(cue, 0) for cue in cues])
        ids = [f"nsdimagery-{cue}" for cue in names]
        trials = trials_of(table, images, ids, shown, session=np.full(len(shown), session))
        tests = {}
        for test, kind in (("vision", "vis"), ("imagery", "img")):
            of_kind = np.char.startswith(kinds, kind) & np.isin(cues, names)
            tests[test] = chosen_trials(trials, of_kind)
            for letter, size in SIZES.items():
                tests[f"{test}-{size}"] = chosen_trials(trials, of_kind & (kinds == f"{kind}{letter}"))
        return tests

    def _events(self, root: Path, subject: str) -> tuple[np.ndarray, np.ndarray]:
        """(T,) kind of run with its set, such as ``visA``, and cue, ``""`` where it is of no picture, of each
        beta."""
        kinds: list[str] = []
        cues: list[str] = []
        entry = self.manifest().entry("imagery_runs")
        for run in RUNS:
            kind, letter = run[:3], run[3]
            conditions = read_records(entry.file(root, subject=subject, run=run), needs=("CONDITION",)).text(
                "CONDITION"
            )
            if kind == "att":
                conditions = ("",) * (2 * len(conditions))
            elif letter in TARGETS and (odd := sorted(set(conditions) - set(TARGETS[letter]))):
                raise DataError(
                    f"run {run} of {subject} names the cue '{odd[0]}'; set {letter} has "
                    f"{', '.join(TARGETS[letter])}"
                )
            elif letter not in TARGETS:
                conditions = ("",) * len(conditions)
            kinds += [kind + letter] * len(conditions)
            cues += conditions
        return np.array(kinds), np.array(cues)
