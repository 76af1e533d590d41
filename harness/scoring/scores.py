"""What scoring is given and what it gives: finished images of rows, metrics, values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from .. import plugins
from ..data import Stimuli
from ..identity import code_sha, digest, modules_sha
from ..plugins import PluginRef


@dataclass(frozen=True)
class ImageSet:
    """Finished images of one row, trial and sample, and what they are compared with.

    All have the same ids in the same order.

    measured : the reconstructions from measured responses to compare with, None for a row without any.
    redrawn : the same with other noise of the decoder, where it draws any, else `measured`.
    rendered : what the decoder's generator makes of the true stimuli, where it can.
    against_stimuli : False for images that another row has already, here for another measured target.
    """

    row: str
    trial: int
    sample: int
    images: Stimuli
    stimuli: Stimuli
    measured: Stimuli | None
    redrawn: Stimuli | None = None
    rendered: Stimuli | None = None
    against_stimuli: bool = True

    def target(self, name: str, *, independent: bool = False) -> Stimuli | None:
        """What `name` stands for; `independent` of the noise that the row was drawn with."""
        if name == "stimulus":
            return self.stimuli if self.against_stimuli else None
        return self.redrawn if independent else self.measured

    def all(self) -> list[Stimuli]:
        """Every set of images here, for those who look at them all."""
        every = (self.images, self.stimuli, self.measured, self.redrawn, self.rendered)
        return [stimuli for stimuli in every if stimuli is not None]


@dataclass(frozen=True)
class MetricRef:
    """A metric and its identity.  Picklable: workers load it again by reference."""

    ref: PluginRef
    identity: dict[str, Any]

    @property
    def label(self) -> str:
        """``name@version``."""
        return f"{self.ref.name}@{self.identity['version']}"

    def load(self) -> Any:
        """The row of its catalogue (:class:`harness.catalogue.Metric`)."""
        return self.ref.load()


def metric_ref(name: str) -> MetricRef:
    """The installed metric called `name`."""
    ref = plugins.find("metrics", name)
    row = ref.load()
    shown = ("label", "meaning", "column", "default")
    defined = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in shown}
    own = modules_sha(call.module for call in row.calls())
    identity = {
        "metric": ref.name,
        "version": row.version,
        "code": own if ref.row is not None else digest([code_sha(ref), own]),
        "row": {key: value.__qualname__ if callable(value) else value for key, value in defined.items()},
    }
    return MetricRef(ref, identity)


@dataclass(frozen=True)
class Score:
    """(N,) values of one metric for one set and target; NaN where it could not be scored.

    rivalry : (N,) what each image does to the values of the others as their rival, where the metric
        knows (:class:`harness.metrics.identification.Rivalry`).
    """

    metric: MetricRef
    images: ImageSet
    target: str
    values: np.ndarray
    rivalry: np.ndarray | None = None

    @classmethod
    def of(cls, metric: MetricRef, images: ImageSet, target: str, values: np.ndarray) -> Score:
        """A score from values (N,), or from values and rivalry (2, N)."""
        return cls(metric, images, target, *(values if values.ndim == 2 else (values,)))


@dataclass(frozen=True)
class ResponseScore:
    """Values of one metric for one row: (N,), (V,) with NaN in masked voxels, or (1,).

    rivalry : (N,) as in :class:`Score`, for an image metric that knows it.
    """

    metric: MetricRef
    row: str
    unit: str
    values: np.ndarray
    rivalry: np.ndarray | None = None


@dataclass(frozen=True)
class RegionScore:
    """One metric for one row and region; `part` names what of it, ``""`` the whole.

    kind : ``all``, ``group`` or ``roi``; n_voxels : voxels that it rests on.
    """

    metric: MetricRef
    row: str
    region: str
    kind: str
    part: str
    n_voxels: int
    value: float


@dataclass(frozen=True)
class Failure:
    """A metric that raised, and what to type to score it again."""

    metric: str
    error: str


@dataclass
class Scored:
    """All that one or more metrics gave."""

    images: list[Score] = field(default_factory=list)
    responses: list[ResponseScore] = field(default_factory=list)
    regions: list[RegionScore] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # (metric, why)

    def add(self, other: Scored) -> None:
        """Append what `other` holds."""
        for name in ("images", "responses", "regions", "failures", "left_out"):
            getattr(self, name).extend(getattr(other, name))


Captions = Mapping[tuple[str, int, int], Mapping[str, str]]
"""(row, trial, sample) -> id -> caption."""
