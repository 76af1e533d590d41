"""One call of a metric's score: what makes the artifact of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..storage.content import save_array, save_json
from ..storage.references import Reference
from .metric_ref import MetricRef

HEADLINE = ""
"""Name of the value, among those that a metric returns by name, that stands for the whole."""


def score_one(
    folder: Path,
    metric: MetricRef,
    things: tuple[Reference, ...],
    keywords: Mapping[str, Reference],
    orders: np.ndarray | None,
) -> None:
    """Score one comparison and write its values."""
    row = metric.load()
    loaded = [thing.load() for thing in things]
    more = {name: reference.load() for name, reference in keywords.items()}
    if orders is None:
        values = row.function()(*loaded, **more)
    elif row.deranged is not None:
        values = row.function("deranged")(*loaded, orders, **more)
    else:
        values = mean_over_orders(row.function(), loaded, orders, more)
    parts = dict(values) if isinstance(values, Mapping) else {HEADLINE: values}
    save_json(folder, "parts", list(parts))
    for k, part in enumerate(parts.values()):
        save_array(folder, f"values{k}", np.atleast_1d(np.asarray(part, np.float64)))


def mean_over_orders(
    score: Callable[..., np.ndarray], things: Sequence[Any], orders: np.ndarray, more: Mapping[str, Any]
) -> np.ndarray:
    """(N,) mean of `score` over re-pairings of the first of `things`, of what is not NaN."""
    first, *others = things
    if not isinstance(first, np.ndarray):
        first = np.array(first, object)
    return nanmean(np.stack([score(first[order], *others, **more) for order in orders]))


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over axis 0 of what is not NaN; NaN where nothing is."""
    scored = np.isfinite(values)
    total = np.where(scored, values, 0).sum(axis=0)
    return np.divide(total, scored.sum(axis=0), out=np.full(total.shape, np.nan), where=scored.any(axis=0))
