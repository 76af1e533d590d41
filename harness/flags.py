"""Flags: what a reader must know before believing a number, computed from hashes, ids and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import plugins
from .checks import overlapping_images
from .data import SubjectData
from .rows import ROWS
from .stages.features import backbone_identity
from .stages.score import Score
from .stages.score_responses import ResponseScore
from .statistics import paired_difference


@dataclass(frozen=True)
class Flag:
    """level : ``info``, ``warning`` or ``alarm`` (the numbers do not mean what they seem to)."""

    name: str
    level: str
    message: str


def run_flags(
    *,
    data: SubjectData,
    wanted: Sequence[tuple[str, str]],
    scores: Sequence[Score],
    response_scores: Sequence[ResponseScore],
    selection: str,
    candidates: int,
    transductive: bool,
) -> list[Flag]:
    """Every flag that this run raises; `wanted` are the encoder's (backbone, layer) pairs."""
    return [
        *_overlap(data),
        *_selection(selection, candidates),
        *_transductive(transductive),
        *_shared_backbones(wanted, scores),
        *_misaligned(scores, response_scores),
        *_above_measured(scores),
    ]


def _overlap(data: SubjectData) -> Iterator[Flag]:
    same = overlapping_images(data.train.stimuli, data.test.stimuli)
    if same:
        yield Flag(
            "test-images-in-training",
            "alarm",
            f"{len(same)} of {len(data.test)} test images are training images too (first: {same[0]}); "
            "scores on them measure memory",
        )


def _selection(selection: str, candidates: int) -> Iterator[Flag]:
    if selection == "gt-selected" and candidates > 1:
        yield Flag(
            "ground-truth-selection",
            "alarm",
            f"each image is the best of {candidates} candidates by comparison with the stimulus itself; "
            "not comparable with any other selection",
        )


def _transductive(transductive: bool) -> Iterator[Flag]:
    if transductive:
        yield Flag(
            "transductive-decoder",
            "warning",
            "the decoder was calibrated on all test responses at once; an image's reconstruction depends on "
            "the others",
        )


def _shared_backbones(wanted: Sequence[tuple[str, str]], scores: Sequence[Score]) -> Iterator[Flag]:
    own = {_weights(name): name for name, _ in wanted}
    hit: dict[str, list[str]] = {}
    for score in scores:
        backbone = score.metric.load().backbone
        if backbone is not None:
            weights = _weights(backbone[0])
            if weights in own and score.metric.label not in hit.setdefault(own[weights], []):
                hit[own[weights]].append(score.metric.label)
    for name, metrics in hit.items():
        yield Flag(
            "shared-backbone",
            "warning",
            f"the encoder is built on '{name}', which also scores {', '.join(metrics)}: "
            "read those as self-metrics",
        )


def _weights(backbone: str) -> str:
    """What makes two backbones one network: their weights, however images are resized for them."""
    plugin = plugins.find("backbones", backbone).load()()
    return plugin.weights_sha() if hasattr(plugin, "weights_sha") else backbone_identity(backbone)["weights"]


def _misaligned(scores: Sequence[Score], response_scores: Sequence[ResponseScore]) -> Iterator[Flag]:
    """Two-way identification no better than chance where it must be better."""
    for score in scores:
        plugin = score.metric.load()
        if not (plugin.pool and plugin.chance == 0.5 and score.target == "stimulus"):
            continue
        if getattr(plugin, "kind", ()):  # among look-alikes a fair decoder may well be at chance
            continue
        if score.images.row == "measured" and score.images.sample == 0 and _at_chance(score.values):
            yield Flag(
                "misaligned-ids",
                "alarm",
                f"reconstructions from measured responses identify their stimulus at chance "
                f"({np.nanmean(score.values):.3f} by {score.metric.label}): ids of images and responses may "
                "not belong together, or the decoder learned nothing",
            )
    for score in response_scores:
        plugin = score.metric.load()
        if plugin.pool and plugin.chance == 0.5 and score.row == "predicted" and _at_chance(score.values):
            yield Flag(
                "misaligned-ids",
                "alarm",
                f"predicted responses identify the measured ones at chance ({np.nanmean(score.values):.3f} "
                f"by {score.metric.label}): ids of the predictions may be permuted, or the encoder learned "
                "nothing",
            )


def _at_chance(values: np.ndarray) -> bool:
    """Not above 0.5 by three null standard deviations, sqrt(1/12 n) each (spec of the null: mean of
    n win rates that are uniform under no information)."""
    known = values[np.isfinite(values)]
    return len(known) >= 8 and known.mean() < 0.5 + 3 * 0.2887 / np.sqrt(len(known))


def _above_measured(scores: Sequence[Score]) -> Iterator[Flag]:
    first = {(s.metric.label, s.images.row): s for s in reversed(scores) if s.target == "stimulus"}
    above = []
    for (label, row), score in first.items():
        measured = first.get((label, "measured"))
        if row != "predicted" or measured is None or score.images.images.ids != measured.images.images.ids:
            continue
        sign = 1 if score.metric.load().higher_is_better else -1
        rivalry = None if score.rivalry is None else sign * (score.rivalry - measured.rivalry)
        difference = paired_difference(sign * score.values, sign * measured.values, rivalry=rivalry)
        if difference.low > 0:
            above.append(label)
    if above:
        yield Flag(
            "decoder-prior-zone",
            "warning",
            f"{ROWS['predicted'].label} scores above {ROWS['measured'].label} by {', '.join(sorted(above))}: "
            "noise-free input flatters any decoder; read the decoded agreement instead",
        )


def flag_dicts(flags: Sequence[Flag]) -> list[dict[str, Any]]:
    """Flags as ``run.json`` holds them, each once."""
    unique = {(flag.name, flag.message): flag for flag in flags}
    return [{"name": f.name, "level": f.level, "message": f.message} for f in unique.values()]
