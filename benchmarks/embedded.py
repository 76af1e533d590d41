"""Benchmark `embedded`: drawn scenes and simulated visual cortices whose truth is known.

Simulated, not brain data.  Four subjects of different layout see the same test scenes and training
scenes of their own; every image is shown `repeats` times.  Units are those of betas z-scored by
session, by construction (:mod:`.cortex`).

``embedded@1`` and ``embedded@2`` name a version of the cortex (:mod:`.recipes`), ``embedded`` the one that
is the default; scenes, ids and splits are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from harness.api import ConfigError, Responses, Split, Stimuli, SubjectData, suggest, track

from .cortex import CHUNK, SUBJECTS, Cortex
from .noise import RUN
from .scenes import Scene, describe, draw

logger = logging.getLogger(__name__)

MAX_TRAIN, MAX_TEST, MAX_REPEATS = 9000, 1000, 20
SESSION_IMAGES = 250
"""Training images shown once in each of `repeats` consecutive sessions."""
_SUBJECT_STRIDE = 10_000  # scenes of namespace `train` between the subjects' first ones
_STEP = 1000.0  # responses are rounded to 1 / _STEP


@dataclass(frozen=True)
class Params:
    """How much of the benchmark to generate.

    n_train : training images of each subject, up to 9,000.
    n_test : test images, the same for all subjects, up to 1,000.
    repeats : trials of each image.
    seed : chooses the noise; scenes and subjects stay the same.

    A smaller benchmark holds the first images and trials of a larger one.
    """

    n_train: int = 3000
    n_test: int = 100
    repeats: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"n_train": (1, MAX_TRAIN), "n_test": (1, MAX_TEST), "repeats": (1, MAX_REPEATS)}
        for name, (low, high) in (*limits.items(), ("seed", (0, 2**63 - 1))):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                default = type(self).__dataclass_fields__[name].default
                raise ConfigError(
                    f"benchmark.{name} is {value!r}; expected a whole number from {low} to {high}, "
                    f"for example --set benchmark.{name}={default}"
                )


class Embedded:
    """The simulated benchmark, version 1: ``Embedded(params).load("subj01")``."""

    version: ClassVar[str] = "1"
    Params: ClassVar[type] = Params
    simulated: ClassVar[bool] = True
    generated: ClassVar[bool] = True
    opaque_ids: ClassVar[bool] = True
    run: ClassVar[int] = 1
    """Consecutive test images whose trials follow each other."""

    def __init__(self, params: Params | None = None) -> None:
        self.params = params or Params()

    def subjects(self) -> Sequence[str]:
        """``subj01`` to ``subj04``."""
        return tuple(SUBJECTS)

    def training_sets(self) -> Sequence[str]:
        """Names of the image sets that the training images come from."""
        return ("embedded-train",)

    def load(self, subject: str) -> SubjectData:
        """Draw the scenes and simulate the trials of one subject.

        Raises
        ------
        ConfigError : `subject` is not one of :meth:`subjects`.
        """
        if subject not in SUBJECTS:
            raise ConfigError(suggest(subject, SUBJECTS, what="subject of benchmark 'embedded'"))
        params = self.params
        cortex = _cortex(subject, self.version)
        first = list(SUBJECTS).index(subject) * _SUBJECT_STRIDE
        logger.debug("simulating %s: %d + %d images", subject, params.n_train, params.n_test)
        train = _Shown.of("train", range(first, first + params.n_train))
        test = _Shown.of("test", range(params.n_test))
        blocks = -(-params.n_train // SESSION_IMAGES)
        truth = cortex.signal(test.images, test.scenes)
        together = np.arange(len(test)) // self.run  # images of one run are shown in one session
        responses = self._trials(cortex, test, "test", together % blocks, truth)
        remeasured = self._trials(cortex, test, "remeasured", np.full(len(test), blocks), truth)
        space = cortex.space
        return SubjectData(
            space=space,
            train=Split(
                train.stimuli(),
                self._trials(cortex, train, "train", np.arange(len(train)) // SESSION_IMAGES, None),
            ),
            test=Split(test.stimuli(), responses),
            truth=Responses.single(space, test.ids, _rounded(truth)),
            remeasured=remeasured,
        )

    def _trials(
        self, cortex: Cortex, shown: _Shown, series: str, block: np.ndarray, truth: np.ndarray | None
    ) -> Responses:
        """Trials of all repeats in the order of presentation.

        The r-th repeat of an image of block b falls in session ``b * repeats + r + 1``: sessions are
        runs of consecutive trials, and the repeats of an image lie in different sessions.  Test images
        are dealt over the sessions of the training images; remeasured trials follow in sessions of
        their own.
        """
        repeats = self.params.repeats
        session = (block * repeats)[:, None] + np.arange(repeats) + 1
        image = np.broadcast_to(np.arange(len(shown))[:, None], session.shape)
        order = np.lexsort((image.ravel(), session.ravel()))
        place = np.empty(order.size, np.int64)
        place[order] = np.arange(order.size)
        place = place.reshape(session.shape)
        data = np.empty((order.size, cortex.space.n_voxels), np.float32)
        for start in track(range(0, len(shown), CHUNK), f"{series} trials, blocks of images"):
            part = slice(start, min(start + CHUNK, len(shown)))
            signal = cortex.signal(shown.images[part], shown.scenes[part]) if truth is None else truth[part]
            for repeat in range(repeats):
                noise = cortex.noise(shown.indices[part], repeat, series=f"{series}|{self.params.seed}")
                data[place[part, repeat]] = _rounded(signal + noise)
        return Responses(cortex.space, shown.ids, data, image.ravel()[order], session=session.ravel()[order])


class Embedded2(Embedded):
    """Version 2: bound, normalised higher areas, NSD's ceilings, noise with drift and serial correlation."""

    version: ClassVar[str] = "2"
    run: ClassVar[int] = RUN


@dataclass(frozen=True)
class _Shown:
    """Scenes of one split with their images (n, 64, 64, 3)."""

    namespace: str
    indices: range
    scenes: list[Scene]
    images: np.ndarray

    @classmethod
    def of(cls, namespace: str, indices: range) -> _Shown:
        return cls(namespace, indices, describe(namespace, indices), draw(namespace, indices))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def ids(self) -> tuple[str, ...]:
        """``train-00042``: a scene has the same id wherever it is shown."""
        return tuple(f"{self.namespace}-{index:05d}" for index in self.indices)

    def stimuli(self) -> Stimuli:
        labels = {
            "category": np.array([scene.category for scene in self.scenes]),
            "background": np.array([scene.background for scene in self.scenes]),
        }
        captions = [scene.caption for scene in self.scenes]
        return Stimuli.from_array(self.ids, self.images, captions=captions, labels=labels)


@lru_cache(maxsize=len(SUBJECTS))
def _cortex(subject: str, version: str) -> Cortex:
    return Cortex(subject, version=version)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Float32, rounded to 1e-3, so that last-bit differences between machines vanish."""
    return (np.rint(values * _STEP) / _STEP).astype(np.float32)
