"""What scoring is given and what it gives: finished images of rows, metrics, values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from .. import plugins
from ..rows.row_images import RowImages
from ..storage.content import digest
from ..storage.identity import code_sha, modules_sha
from .metric_ref import MetricRef


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
    images: RowImages
    target: str
    values: np.ndarray
    rivalry: np.ndarray | None = None

    @classmethod
    def of(cls, metric: MetricRef, images: RowImages, target: str, values: np.ndarray) -> Score:
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
