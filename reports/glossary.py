"""What each score means, in a sentence for a reader who has never seen it."""

from __future__ import annotations

from collections.abc import Iterable

from .layout import MetricInfo

OWN = {
    "ceiling-fraction": "squared voxel r over the noise ceiling, summed over voxels before dividing: the "
    "share of the variance that repeats which was predicted",
}
"""Values that reports derive, by the name they have in tables; metrics bring their meanings themselves."""


def meanings(metrics: Iterable[MetricInfo]) -> list[tuple[str, str]]:
    """(label, meaning) of those of `metrics` that have one, in their order."""
    texts = {metric.label: metric.meaning or OWN.get(metric.base, "") for metric in metrics}
    return [(label, text) for label, text in texts.items() if text]
