"""What every scorer is given of a run, and what a scorer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..catalogue import Metric
from ..data import ImageSet, SubjectData
from ..errors import HarnessError, StoreError, WorkerDied
from ..rows.row_images import RowImages
from ..stages.features import FeatureStore, backbone_identity
from ..storage.executors import Executor
from ..storage.references import filed
from ..storage.store import Store
from .compare import Offer
from .scores import MetricRef, Scored

if TYPE_CHECKING:
    from ..stages.decode import Reconstructions
    from ..stages.model import Model


ENDS_A_RUN = (StoreError, WorkerDied, KeyboardInterrupt)
"""What is no metric's fault; all else that one raises, ``SystemExit`` too, costs its own values alone."""


@contextmanager
def quiet(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A stage that shows nothing."""
    yield lambda count: None


@dataclass(frozen=True)
class Scoring:
    """A run when it is scored.

    sets : finished images of every row.  predicted : (N, S, V) responses before any adapter, or None.
    cheats : row -> (N, V) responses of encoders that cheat.
    decoder : the fitted decoder, None where images were made elsewhere; decoded : what it made, by (row,
    trial, sample).  captions : of rows that have no images, in the same way.  shuffled : row -> name of the
    control made of its re-paired images, or None.
    derangements : re-pairings that it averages.  stage : (name, total) -> a context that shows a stage and
    gives what is told how far it is.
    """

    data: SubjectData
    store: Store
    executor: Executor
    features: FeatureStore
    sets: Sequence[RowImages] = ()
    predicted: np.ndarray | None = None
    cheats: Mapping[str, np.ndarray] = field(default_factory=dict)
    decoder: Model | None = None
    decoded: dict[tuple[str, int, int], Reconstructions] = field(default_factory=dict)
    captions: Mapping[tuple[str, int, int], Mapping[str, str]] = field(default_factory=dict)
    shuffled: Callable[[str], str | None] = lambda row: None
    derangements: int = 50
    micro_batch: int = 16
    device: str = "cpu"
    stage: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = quiet

    @property
    def once(self) -> list[RowImages]:
        """The sets whose images no other row has, for scores that know one target only."""
        return [images for images in self.sets if images.against_stimuli]


@dataclass(frozen=True)
class Circumstances:
    """What a plan knows before any work, by which metrics are on by default or not."""

    encoder: bool
    decoder: Any  # a plugin, finished images, or None
    captions: bool
    samples: int


class Scorer(ABC):
    """Scores one kind of input (:attr:`harness.catalogue.Metric.inputs`); built for one run."""

    inputs: ClassVar[str]
    fetch: ClassVar[str] = "metrics"
    """What to type behind ``harness prefetch`` where weights of its metrics are missing."""
    needs_images: ClassVar[bool] = True
    """Without finished images none of its metrics is scored, or missed."""

    def __init__(self, run: Scoring) -> None:
        self.run = run

    @staticmethod
    def expected(metric: Metric, plan: Circumstances) -> str | None:
        """Whether a plan expects values of `metric` when nobody asked for it by name.

        ``""`` if so; else None or, where a user would wonder, the reason.
        """
        return ""

    @staticmethod
    def reads(metric: Metric) -> tuple[str, ...]:
        """The stimuli whose features of the metric's backbone it compares: ``test``, ``training``."""
        return ()

    def problem(self, metric: Metric) -> str:
        """Why `metric` cannot score this run, in a sentence that a user reads; ``""`` when it can."""
        return ""

    def prepare(self, metrics: Sequence[MetricRef]) -> dict[str, str | HarnessError]:
        """Do once what `metrics` have in common.

        Returns name of a metric -> why it cannot be scored after all, or what failed.
        """
        return {}

    @abstractmethod
    def score(self, metric: MetricRef) -> Scored:
        """The values of one metric; whatever it raises costs that metric alone."""

    def embedded(self, backbone: tuple[str, str], stimuli: ImageSet) -> Offer:
        """Features (N, D) of `stimuli`; extracted now if they are not there."""
        folders = self.run.features.folders(*backbone, stimuli)
        identity = {"backbone": backbone_identity(backbone[0]), "layer": backbone[1], "images": stimuli.sha}
        return Offer(filed(folders, "features"), identity)
