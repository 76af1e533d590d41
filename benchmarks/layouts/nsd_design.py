"""Which image NSD showed in which trial, and the test sets that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import DataError
from harness.reading.arrays import as_integers, open_array

from .manifest import Manifest

SESSIONS = {
    **{"subj01": 40, "subj02": 40, "subj03": 32, "subj04": 30},
    **{"subj05": 40, "subj06": 32, "subj07": 40, "subj08": 30},
}
"""Sessions that each subject completed (Allen et al. 2022)."""

HELD_OUT = 3
"""Last sessions of every subject that were published later, after the Algonauts 2023 challenge."""


def image_name(number: int) -> str:
    """Id of an image of NSD by its place, from 0, among the 73,000, in every layout of NSD."""
    return f"nsd-{number:05d}"


@dataclass(frozen=True)
class Design:
    """NSD's experiment: `order` (T,) the image of each trial, from 0, the same for all subjects, as a place
    in the rows of `images` (subjects, n), places among the 73,000 from 0; shared : places of the shared
    images."""

    order: np.ndarray
    images: np.ndarray
    shared: np.ndarray
    path: Path

    @classmethod
    def read(cls, manifest: Manifest, root: Path) -> Design:
        """From ``nsd_expdesign.mat``, whose numbers count from 1."""
        path = manifest.entry("experiment_design").file(root)
        order = as_integers(open_array(path, "masterordering")) - 1
        images = open_array(path, "subjectim").read().astype(np.int64) - 1
        shared = as_integers(open_array(path, "sharedix")) - 1
        if min(order.min(), images.min(), shared.min()) < 0:
            raise DataError(f"{path} counts from 0; NSD's own file counts from 1, and so is it read")
        if order.max() >= images.shape[1]:
            raise DataError(f"{path}: masterordering names image {order.max() + 1} of {images.shape[1]}")
        return cls(order, images, shared, path)

    def shown(self, subject: str, trials: np.ndarray) -> np.ndarray:
        """Places among the 73,000 of the images in `trials` (from 0) of `subject`, ``subj01`` ..."""
        row = int(subject[-2:]) - 1
        if row >= len(self.images):
            raise DataError(f"{self.path} holds {len(self.images)} subjects; there is no '{subject}'")
        if len(trials) and trials.max() >= len(self.order):
            raise DataError(
                f"{self.path} lists {len(self.order)} trials; these files hold {trials.max() + 1}"
            )
        return self.images[row, self.order[trials]]

    def training_sets(self, subject: str, names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Ids of the images that train beside each of the test sets `names`: the subject's own.

        A shared image that a smaller test set leaves out trains no model and sets no mean or spread, so that
        models of one subject are the same whichever test set they are scored on.
        """
        shown = self.shown(subject, np.arange(len(self.order)))
        own = tuple(image_name(place) for place in np.setdiff1d(shown, self.shared))
        return dict.fromkeys(names, own)

    def test_sets(self, per_session: int) -> Mapping[str, tuple[str, ...]]:
        """Ids of the images of NSD's usual test sets.

        ``shared1000``: all shared images; ``shared982``: those shown in the sessions before the last three of
        a subject with 40, which were public first; ``special515``: those that all subjects saw three times;
        ``shared907``: those that all subjects saw.
        """
        fewest = min(SESSIONS.values()) * per_session
        public = (max(SESSIONS.values()) - HELD_OUT) * per_session
        places = {place: k for k, place in enumerate(self.images[0])}
        absent = [place for place in self.shared if place not in places]
        if absent:
            raise DataError(f"{self.path}: image {absent[0] + 1} of sharedix is in no row of subjectim")
        rows = np.array([places[place] for place in self.shared])
        counts = {
            end: np.bincount(self.order[:end], minlength=self.images.shape[1])[rows]
            for end in (fewest, public)
        }
        chosen = {
            "shared1000": np.ones(len(rows), bool),
            "shared982": counts[public] > 0,
            "shared907": counts[fewest] > 0,
            "special515": counts[fewest] >= 3,
        }
        return {name: tuple(map(image_name, self.shared[kept])) for name, kept in chosen.items()}
