"""Flags of where the parts of a run come from: what they were trained on, look through and were chosen by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ... import plugins
from ...data import SubjectData
from ...errors import HarnessError
from ...notices import Flag
from ...plugins import PluginRef
from ...scoring.scores import Score
from ...stages.features import backbone_identity
from ..overlaps import DECLARATIONS, Declared, shared_images

if TYPE_CHECKING:
    from ..plan import Plan


def declarations(plan: Plan) -> dict[str, Declared]:
    """Kind of plugin -> what the encoder, the decoder and the benchmark's training split say of themselves.

    Those that have nothing to say are absent.
    """
    declared = {"benchmark": Declared.of("the training split", plan.benchmark_object())}
    for kind in ("encoder", "decoder"):
        ref, wants = getattr(plan, kind), kind == "decoder"  # what an encoder wants is in the record
        names = (*DECLARATIONS, "wants") if wants else DECLARATIONS
        if isinstance(ref, PluginRef) and any(hasattr(ref.load(), name) for name in names):
            plugin = ref.load()(getattr(plan, f"{kind}_params"))
            declared[kind] = Declared.of(f"the {kind} '{ref.name}'", plugin, wants=wants)
    return declared


def trained_on_test_images(data: SubjectData, declared: Sequence[Declared]) -> Iterator[Flag]:
    for party in declared:
        same = [
            i
            for i, sha in zip(data.test.stimuli.ids, data.test.stimuli.image_hashes())
            if sha in party.hashes
        ]
        if same:
            yield Flag(
                "trained-on-test-images",
                "alarm",
                f"{party.who} was trained on {len(same)} of {len(data.test)} test images, by their content "
                f"(first: {same[0]}); scores on them measure memory",
            )


def known_overlap(declared: Sequence[Declared], test_sets: Sequence[str]) -> Iterator[Flag]:
    for party in declared:
        for trained, tested, why in shared_images(party.sets, test_sets):
            yield Flag(
                "trained-on-test-images",
                "alarm",
                f"{party.who} was trained on {trained}, which shares images with the test set {tested}: "
                f"{why}; scores on them measure memory",
            )


def reads_of_test_images(declared: Sequence[Declared]) -> Iterator[Flag]:
    for party in declared:
        if party.reads_texts:
            yield Flag(
                "reads-annotations",
                "warning",
                f"{party.who} predicts from what people wrote of the test images, not from their pixels; it "
                "is a bound on what such words explain, no model of seeing",
            )


def chosen_by_truth(selection: str, candidates: int) -> Iterator[Flag]:
    if selection == "gt-selected" and candidates > 1:
        yield Flag(
            "ground-truth-selection",
            "alarm",
            f"each image is the best of {candidates} candidates by comparison with the stimulus itself; "
            "not comparable with any other selection",
        )


def transductive_decoder(transductive: bool) -> Iterator[Flag]:
    if transductive:
        yield Flag(
            "transductive-decoder",
            "warning",
            "the decoder was calibrated on all test responses at once; an image's reconstruction depends on "
            "the others",
        )


def shared_backbones(
    wanted: Sequence[tuple[str, str]], scores: Sequence[Score], declared: Sequence[Declared] = ()
) -> Iterator[Flag]:
    looks = [("the encoder is built on", name) for name, _ in wanted]
    looks += [(f"{party.who} looks through", name) for party in declared for name in party.networks]
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
