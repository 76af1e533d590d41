"""Flags: what a reader must know before believing a number, computed from hashes, ids and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import plugins
from .checks import overlapping_images
from .data import SubjectData
from .errors import HarnessError
from .overlaps import DECLARATIONS, Declared, shared_images
from .plugins import PluginRef
from .rows import ROWS
from .stages.data import Subset
from .stages.features import backbone_identity
from .stages.score import Score
from .stages.score_responses import ResponseScore
from .statistics import paired_difference

if TYPE_CHECKING:
    from .plan import Plan


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
    declared: Sequence[Declared] = (),
    test_sets: Sequence[str] = (),
    subset: Subset | None = None,
) -> list[Flag]:
    """Every flag that this run raises.

    wanted : the encoder's (backbone, layer) pairs.  declared : what the plugins say of themselves.
    test_sets : names of the image sets that the test images are of.  subset : what was scored of them.
    """
    return [
        *_missing(subset),
        *_overlap(data),
        *_trained_on_test_images(data, declared),
        *_known_overlap(declared, test_sets),
        *_selection(selection, candidates),
        *_transductive(transductive),
        *_shared_backbones(wanted, scores, declared),
        *_misaligned(scores, response_scores),
        *_above_measured(scores),
    ]


def declarations(plan: Plan) -> list[Declared]:
    """What the encoder, the decoder and the benchmark's training split say of themselves."""
    found = [Declared.of("the training split", plan.benchmark_object())]
    for kind in ("encoder", "decoder"):
        ref = getattr(plan, kind)
        if isinstance(ref, PluginRef) and any(hasattr(ref.load(), name) for name in DECLARATIONS):
            plugin = ref.load()(getattr(plan, f"{kind}_params"))
            found.append(Declared.of(f"the {kind} '{ref.name}'", plugin))
    return found


def _missing(subset: Subset | None) -> Iterator[Flag]:
    if subset is not None and subset.missing:
        few = ", ".join(subset.first_missing) + (" ..." if subset.missing > len(subset.first_missing) else "")
        yield Flag(
            "missing-reconstructions",
            "warning",
            f"{subset.missing} test images have no reconstruction ({few}) and are left out of every row "
            f"(subset {subset.name}); if the hard ones are missing, scores are too good",
        )


def _overlap(data: SubjectData) -> Iterator[Flag]:
    same = overlapping_images(data.train.stimuli, data.test.stimuli)
    if same:
        yield Flag(
            "test-images-in-training",
            "alarm",
            f"{len(same)} of {len(data.test)} test images are training images too (first: {same[0]}); "
            "scores on them measure memory",
        )


def _trained_on_test_images(data: SubjectData, declared: Sequence[Declared]) -> Iterator[Flag]:
    for one in declared:
        same = [
            i for i, sha in zip(data.test.stimuli.ids, data.test.stimuli.image_hashes()) if sha in one.hashes
        ]
        if same:
            yield Flag(
                "trained-on-test-images",
                "alarm",
                f"{one.who} was trained on {len(same)} of {len(data.test)} test images, by their content "
                f"(first: {same[0]}); scores on them measure memory",
            )


def _known_overlap(declared: Sequence[Declared], test_sets: Sequence[str]) -> Iterator[Flag]:
    for one in declared:
        for trained, tested, why in shared_images(one.sets, test_sets):
            yield Flag(
                "trained-on-test-images",
                "alarm",
                f"{one.who} was trained on {trained}, which shares images with the test set {tested}: {why}; "
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


def _shared_backbones(
    wanted: Sequence[tuple[str, str]], scores: Sequence[Score], declared: Sequence[Declared] = ()
) -> Iterator[Flag]:
    looks = [("the encoder is built on", name) for name, _ in wanted]
    looks += [(f"{one.who} looks through", name) for one in declared for name in one.networks]
    own: dict[str, tuple[str, str]] = {}
    for how, name in looks:
        own.setdefault(_weights(name), (how, name))
    hit: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        backbone = score.metric.load().backbone
        if backbone is not None:
            weights = _weights(backbone[0])
            if weights in own and score.metric.label not in hit.setdefault(own[weights], []):
                hit[own[weights]].append(score.metric.label)
    for (how, name), metrics in hit.items():
        yield Flag(
            "shared-backbone",
            "warning",
            f"{how} '{name}', which also scores {', '.join(metrics)}: read those as self-metrics",
        )


def _weights(backbone: str) -> str:
    """What makes two backbones one network: their weights, however images are resized for them.

    A network whose weights are not here scores nothing here, so its name will do.
    """
    try:
        plugin = plugins.find("backbones", backbone).load()()
        return (
            plugin.weights_sha() if hasattr(plugin, "weights_sha") else backbone_identity(backbone)["weights"]
        )
    except HarnessError:
        return backbone


def _misaligned(scores: Sequence[Score], response_scores: Sequence[ResponseScore]) -> Iterator[Flag]:
    """Two-way identification no better than chance where it must be better.

    By every metric that can tell: one that is blind to such images says nothing about ids.
    """
    # Among look-alikes a fair decoder may well be at chance.
    measured = [
        (score.metric.label, score.values)
        for score in scores
        if (score.images.row, score.target, score.images.sample) == ("measured", "stimulus", 0)
        and _two_way(score.metric.load())
        and not getattr(score.metric.load(), "kind", ())
    ]
    if best := _all_at_chance(measured):
        yield Flag(
            "misaligned-ids",
            "alarm",
            f"reconstructions from measured responses identify their stimulus at chance ({best}): ids of "
            "images and responses may not belong together, or the decoder learned nothing",
        )
    predicted = [
        (score.metric.label, score.values)
        for score in response_scores
        if score.row == "predicted" and score.unit == "image" and _two_way(score.metric.load())
    ]
    if best := _all_at_chance(predicted):
        yield Flag(
            "misaligned-ids",
            "alarm",
            f"predicted responses identify the measured ones at chance ({best}): ids of the predictions may "
            "be permuted, or the encoder learned nothing",
        )


def _two_way(metric: Any) -> bool:
    return bool(metric.pool and metric.chance == 0.5)


def _all_at_chance(found: Sequence[tuple[str, np.ndarray]]) -> str:
    """The best of (metric, values) in words where none is above chance, else ``""``.

    Above is 0.5 and three null standard deviations, sqrt(1 / 12 n): the mean of n win rates that are
    uniform without information.  Fewer than eight images tell nothing.
    """
    known = {label: values[np.isfinite(values)] for label, values in found}
    known = {label: values for label, values in known.items() if len(values) >= 8}
    if not known or any(v.mean() >= 0.5 + 3 * 0.2887 / np.sqrt(len(v)) for v in known.values()):
        return ""
    best = max(known, key=lambda label: known[label].mean())
    return f"{known[best].mean():.3f} by {best}"


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
