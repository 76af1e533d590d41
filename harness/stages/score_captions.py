"""Stage score, of captions: what a decoder says of each image, against what others say of it.

Captions lie beside the images of each micro-batch.  A metric gets them as strings or, where it names a
backbone, as features of its text tower; both once per set and target, cached by content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backbones.weights import stored_sha
from ..data import Stimuli
from ..identity import module_sha
from ..rows import reference_row
from ..store import Store, save_array
from .captions import caption_features
from .decode import Reconstructions
from .features import backbone_identity
from .score import ImageSet, MetricRef, Score, derangements_of, nanmean

INPUTS = "captions"
"""``Metric.inputs`` of the metrics that this stage scores."""

CEILING = "generator-ceiling"
"""The row whose captions are the decoder's own of the true images."""

Made = Mapping[tuple[str, int, int], Reconstructions]
"""(row, trial, sample) -> reconstructions."""


def captions_of(made: Reconstructions | None) -> dict[str, str]:
    """Id -> caption; empty where the decoder gave none."""
    return {} if made is None else made.captions


def lacks_captions(metric: MetricRef, made: Made, stimuli: Stimuli) -> str:
    """Why a ``captions`` metric can score nothing of `made`, or ``""``; ``""`` for any other metric."""
    if metric.load().inputs != INPUTS:
        return ""
    rows = {row for (row, *_), one in made.items() if captions_of(one)}
    if not rows:
        return "nothing was decoded that has captions; a decoder returns them as Decoded.caption"
    if stimuli.captions is None and not rows & {"measured", CEILING}:
        return "neither the stimuli nor the true images have captions to compare with"
    return ""


def score_captions(
    metric: MetricRef,
    sets: Sequence[ImageSet],
    made: Made,
    *,
    store: Store,
    derangements: int,
    shuffled: Callable[[str], str | None],
) -> list[Score]:
    """Scores of a ``captions`` metric for every row with captions, and for its shuffled control.

    A row is not scored against a target that has no captions, nor against itself.
    """
    plugin, scores = metric.load(), []
    for images in sets:
        ours = captions_of(made.get((images.row, images.trial, images.sample)))
        if not ours:
            continue
        ids = images.images.ids
        captions = [ours[one] for one in ids]
        for target in plugin.targets:
            theirs = _references(target, images, made)
            if all(one in theirs for one in ids):
                references = [theirs[one] for one in ids]
                values = _values(metric, plugin, captions, references, (), store)
                scores.append(Score(metric, images, target, values))
        name = shuffled(images.row)
        theirs = _references("stimulus", images, made)
        if name is None or images.trial >= 0 or not theirs or "stimulus" not in plugin.targets:
            continue
        control = ImageSet(name, -1, images.sample, images.images, images.stimuli, None)
        orders, values = derangements_of(ids, derangements), np.full(len(ids), np.nan)
        if len(orders):
            values = _values(metric, plugin, captions, [theirs[one] for one in ids], orders, store)
        scores.append(Score(metric, control, "stimulus", values))
    return scores


def _references(target: str, images: ImageSet, made: Made) -> dict[str, str]:
    """Id -> caption that a row is compared with; empty where there is none."""
    if target == "stimulus":
        captions = images.stimuli.captions
        return {} if captions is None else dict(zip(images.stimuli.ids, captions, strict=True))
    if target == "image":
        return {} if images.row == CEILING else captions_of(made.get((CEILING, -1, 0)))
    row = reference_row(images.row)
    if not row:
        return {}
    return captions_of(made.get((row, -1, images.sample), made.get((row, -1, 0))))


def _values(
    metric: MetricRef,
    plugin: Any,
    captions: list[str],
    references: list[str],
    orders: np.ndarray | tuple[()],
    store: Store,
) -> np.ndarray:
    """(N,) values, or their mean over the re-pairings `orders` (K, N) of captions; cached."""
    ingredients = {
        **metric.identity,
        "captions": captions,
        "references": references,
        "backbone": backbone_identity(plugin.backbone[0]) if plugin.backbone else "none",
        "weights": {name: stored_sha(name) for name in getattr(plugin, "weights", ())},
        "derangements": len(orders),
        "stage": module_sha(__name__),
    }

    def make(folder: Path) -> None:
        ours, theirs = np.array(captions, object), references
        if plugin.backbone:
            ours, theirs = (caption_features(plugin.backbone[0], c, store=store) for c in (captions, theirs))
        if len(orders):
            values = nanmean(np.stack([plugin.score(ours[order], theirs) for order in orders]))
        else:
            values = plugin.score(ours, theirs)
        save_array(folder, "values", np.asarray(values, np.float64))

    return np.array(store.get("score", ingredients, make).array("values"))
