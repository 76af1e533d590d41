"""One comparison: what is scored against what, its shuffled control, and the function that scores it.

Whatever the kind of input, a metric's score is a function of one or two things and of further keywords.  A
control re-pairs the first thing; a failure is one comparison's; values are kept by the content of all that
went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..rows.row_images import RowImages
from ..seeds import cyclic_order
from ..storage.cached import Item, cached_map
from ..storage.content import digest
from ..storage.executors import Executor
from ..storage.references import Held, Reference
from ..storage.store import Artifact, Store
from .calls import score_one
from .scores import MetricRef


@dataclass(frozen=True)
class Offer:
    """A keyword of a score: where its value is, and what its numbers depend on."""

    reference: Reference
    identity: Any

    @classmethod
    def of(cls, value: Any) -> Offer:
        """`value` itself, known by its content."""
        return cls(Held(value), value)


@dataclass(frozen=True)
class Comparison:
    """What one call of a score gets.

    things : one or two, of which the first is re-paired by `orders` (K, N): image i of permutation k is
        the one at position ``orders[k, i]``.  keywords : name -> what the metric gets besides.
    """

    things: tuple[Offer, ...]
    keywords: Mapping[str, Offer] = field(default_factory=dict)
    orders: np.ndarray | None = None


def compared(
    metric: MetricRef,
    comparisons: Sequence[Comparison],
    *,
    store: Store,
    executor: Executor,
    depends_on: Mapping[str, Any] | None = None,
) -> list[dict[str, np.ndarray]]:
    """For each comparison, part -> float64 values; ``""`` is the score.  Kept, and scored on any executor."""
    items = [
        Item(
            {
                "things": [offer.identity for offer in comparison.things],
                "keywords": {name: offer.identity for name, offer in comparison.keywords.items()},
                "orders": "none" if comparison.orders is None else digest(comparison.orders),
            },
            (
                metric,
                tuple(offer.reference for offer in comparison.things),
                {name: offer.reference for name, offer in comparison.keywords.items()},
                comparison.orders,
            ),
        )
        for comparison in comparisons
    ]
    common = {**metric.identity, **(depends_on or {})}
    artifacts = cached_map("score", items, score_one, store=store, executor=executor, depends_on=common)
    return [values_of(artifact) for artifact in artifacts]


def values_of(artifact: Artifact) -> dict[str, np.ndarray]:
    """Part -> values, as :func:`.calls.score_one` wrote them."""
    return {name: np.array(artifact.array(f"values{k}")) for k, name in enumerate(artifact.json("parts"))}


def mean_scored(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    scored = values[np.isfinite(values)]
    return float(scored.mean()) if len(scored) else float("nan")


def derangements_of(ids: Sequence[str], count: int, *, copies: np.ndarray | None = None) -> np.ndarray:
    """(K, N) re-pairings: image i of permutation k stands at stimulus [k, i], which is not its own.

    All images in one pseudo-random circle, turned by :func:`turns` places: each image meets K different
    stimuli and a pool of any size is streamed with a window.  copies : (N,) numbers that are equal for
    stimuli of equal content; no image stands at a copy of its own stimulus.
    """
    order = cyclic_order(ids, copies)
    steps = turns(len(order), count, copies)
    turned = np.empty((len(steps), len(order)), np.int64)
    for k, step in enumerate(steps):
        turned[k, order] = np.roll(order, -step)
    return turned


def shuffled_orders(images: RowImages, count: int) -> np.ndarray:
    """(K, N) re-pairings of the shuffled control of `images`, see :func:`derangements_of`."""
    return derangements_of(images.images.ids, count, copies=images.stimuli.copies())


def turns(n: int, count: int, copies: np.ndarray | None = None) -> range:
    """By how many places a circle of `n` images is turned, `count` times at most.

    Copies stand side by side in it, so a turn by as many as there are of any picture puts none on another.
    There is no turn, nor any other such re-pairing, where more than half of the images are one picture.
    """
    most = 1 if copies is None else int(np.bincount(copies).max())
    return range(most, min(most + count, n - most + 1))


def controls(
    sets: Sequence[RowImages], shuffled: Callable[[str], str | None]
) -> Iterator[tuple[RowImages, RowImages]]:
    """(set, its shuffled control) of every set that has one; single trials have none."""
    for images in sets:
        name = shuffled(images.row)
        if name is not None and images.trial < 0:
            yield images, RowImages(name, -1, images.sample, images.images, images.stimuli, None)
