"""What is scored: one row a metric, in families that share a definition.

The field's network metrics (Ozcelik & VanRullen 2023, Table 1; MindEye2's final evaluations) are slots, a
score on a network's layer, which a family fills with a preprocessing and a name:

=====================  ===========================================================================
family                 names
=====================  ===========================================================================
MindEye2's notebook    ``clip``: ``final_evaluations.ipynb`` (Scotti et al. 2024)
antialiased            ``clip-v2``: the same with antialiased resizing
Brain-Diffuser         ``brain-diffuser-clip``: its scripts (:mod:`.brain_diffuser`)
small networks         ``clip@tiny``: this project's, comparable with nothing but themselves
=====================  ===========================================================================

* two-way identification on AlexNet's second and fifth convolution, Inception's pooled layer, CLIP's image
  embedding and DINOv2's class token;
* correlation distance, lower is better, on EfficientNet-B1's and SwAV's pooled layers;
* not in the notebook, and declared here: cosines, DINOv2 (antialiased in every family, so it has no second
  name), and 100-way identification on CLIP, since two-way saturates.

The notebook, Brain-Diffuser's scripts and SynBrain's evaluation count a tie in two-way identification as
lost, here it counts half, which is what guessing would win; ``-strict`` variants count as they do.  The two
differ only where correlations are equal to 1e-12, as for a decoder that always makes the same picture: 0.5
there, 0 here.  MindEye2's CLIP runs in half precision on a GPU, here everything is float32.

Small networks judge drawn scenes only and are on by default there; the field's judge photographs and are on
by default on measured data, once ``harness prefetch metrics`` has fetched their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..catalogue import Metric, call
from .meanings import MEANINGS
from .response_rows import RESPONSES

_PUBLISHED = (
    "pixcorr",
    "ssim",
    "alexnet2",
    "alexnet5",
    "inception",
    "clip",
    "dinov2",
    "efficientnet",
    "swav",
)
COLUMNS = {name: place for place, name in enumerate((*_PUBLISHED, "image-retrieval", "brain-retrieval"))}
"""Metrics as published tables have them, without their small network's family -> place."""

LOOKALIKE = ("category", "background")
"""Labels that two look-alikes share."""


def row(name: str, base: str = "", /, **fields: Any) -> Metric:
    """The metric `name`, explained and placed as `base` (by default itself without ``@family``) is."""
    plain = name.partition("@")[0]
    meaning = MEANINGS.get(base or plain.removesuffix("-v2"), "")
    return Metric(name=name, **{"meaning": meaning, "column": COLUMNS.get(plain, 100), **fields})


def identification(candidates: int, *, strict: bool = False) -> dict[str, Any]:
    """What rows of identification among `candidates` share (:func:`.identification.identify`)."""
    definition = {"candidates": candidates, "strict": strict}
    return {
        "inputs": "embedding",
        "score": call("harness.metrics.identification:identify", **definition),
        "deranged": call("harness.metrics.identification:identify_deranged", **definition),
        "gets": ("copies", "rivalry", "device"),
        "pool": True,
        "smallest_pool": candidates,
        "chance": 1 / candidates,
    }


DISTANCE = {
    "inputs": "embedding",
    "score": call("harness.metrics.networks:distance"),
    "gets": ("device",),
    "higher_is_better": False,
}
COSINE = {"inputs": "embedding", "score": call("harness.metrics.networks:cosine_similarity")}


@dataclass(frozen=True)
class Slot:
    """One of the field's scores: `label` and `ending` frame the family's mark, as in "CLIP tiny 100-way".

    layer, small_layer : of the network, and of this project's small one.
    """

    name: str
    label: str
    network: str
    layer: str
    small_layer: str
    definition: Mapping[str, Any]
    ending: str = ""

    @property
    def two_way(self) -> bool:
        return self.definition.get("chance") == 0.5


SLOTS = (
    Slot("alexnet2", "Alex(2)", "alexnet", "features.4", "conv2", identification(2)),
    Slot("alexnet5", "Alex(5)", "alexnet", "features.11", "conv5", identification(2)),
    Slot("inception", "Incep", "inception", "avgpool", "avgpool", identification(2)),
    Slot("clip", "CLIP", "clip", "image", "image", identification(2)),
    Slot("clip-100way", "CLIP", "clip", "image", "image", identification(100), " 100-way"),
    Slot("clip-cos", "CLIP", "clip", "image", "image", COSINE, " cosine"),
    Slot("dinov2", "DINO", "dinov2", "cls", "cls", identification(2)),
    Slot("dinov2-cos", "DINO", "dinov2", "cls", "cls", COSINE, " cosine"),
    Slot("efficientnet", "Eff", "efficientnet", "avgpool", "avgpool", DISTANCE),
    Slot("swav", "SwAV", "swav", "avgpool", "avgpool", DISTANCE),
)
NAMED = {slot.name: slot for slot in SLOTS}
BRAIN_DIFFUSER = ("alexnet2", "alexnet5", "inception", "clip", "efficientnet", "swav")


def family(
    backbones: str,
    *,
    prefix: str = "",
    suffix: str = "",
    mark: str = "",
    small: bool = False,
    slots: tuple[str, ...] = tuple(NAMED),
    default: bool | str = False,
    cosines: bool | str | None = None,
) -> tuple[Metric, ...]:
    """Rows of `slots` on the networks called NETWORK + `backbones`, and their variants with ties lost.

    prefix, suffix : around a slot's name; mark : behind its label.  small : on the layers of the small
    networks, which the label says.  cosines : whether these are on by default, if not as the others.
    """
    rows = []
    for slot in (NAMED[name] for name in slots):
        layer = slot.small_layer if small else slot.layer
        backbone = (
            slot.network if slot.network == "dinov2" and not small else slot.network + backbones,
            layer,
        )
        front = f"{slot.label}{' tiny' if small else ''}"
        wish = cosines if slot.definition is COSINE and cosines is not None else default
        common = {**slot.definition, "backbone": backbone}
        label = f"{front}{slot.ending}{mark}"
        rows.append(row(f"{prefix}{slot.name}{suffix}", slot.name, **common, label=label, default=wish))
        if slot.two_way:
            lost = {**common, **identification(2, strict=True), "label": f"{front} strict{mark}"}
            name = f"{prefix}{slot.name}-strict{suffix}"
            rows.append(row(name, f"{slot.name}-strict", **lost, default=False))
    return tuple(rows)


def _pixels(name: str, label: str, score: str, family_name: str, **fields: Any) -> Metric:
    """PixCorr or SSIM in a family of :data:`.pixel_families.FAMILIES`."""
    return row(
        name,
        label=label,
        inputs="images",
        score=call(f"harness.metrics.pixel:{score}"),
        prepare=call(f"harness.metrics.pixel:prepare_{score}", family=family_name),
        on=call(f"harness.metrics.pixel_on_device:{label.partition(' ')[0]}On", family=family_name),
        **fields,
    )


def _pictures(score: str, label: str) -> Metric:
    """Brain-Diffuser's PixCorr or SSIM, of 8-bit pictures."""
    return row(
        f"brain-diffuser-{score}",
        label=f"{label} (Brain-Diffuser)",
        inputs="images",
        score=call(f"harness.metrics.brain_diffuser:{score}"),
        prepare=call(f"harness.metrics.brain_diffuser:prepare_{score}"),
        default=False,
    )


PIXELS = (
    _pixels("pixcorr", "PixCorr", "pixcorr", "mindeye2-v1"),
    _pixels("ssim", "SSIM", "ssim", "mindeye2-v1"),
    # Equal to the first two wherever nothing is reduced, so off.
    _pixels("pixcorr-v2", "PixCorr (v2)", "pixcorr", "v2", default=False),
    _pixels("ssim-v2", "SSIM (v2)", "ssim", "v2", default=False),
    row(
        "pixcorr-native",
        label="PixCorr (own size)",
        inputs="images",
        score=call("harness.metrics.pixel_native:pixcorr"),
        prepare=call("harness.metrics.pixel_native:prepare_pixcorr"),
        default=False,
    ),
    _pictures("pixcorr", "PixCorr"),
    _pictures("ssim", "SSIM of columns"),
)

PIXEL_IDENTIFICATION = tuple(
    row(name, label=label, **definition, backbone=("pixels", "rgb64"), default=default)
    for name, label, definition, default in (
        ("pixel-2way", "2-way (pixels)", identification(2), True),
        ("pixel-2way-strict", "2-way (pixels) strict", identification(2, strict=True), False),
        ("pixel-100way", "100-way (pixels)", identification(100), True),
    )
)

LOOKALIKES = tuple(
    row(
        f"{network}-lookalike@tiny",
        label=f"{label} tiny look-alikes",
        inputs="embedding",
        score=call("harness.metrics.lookalikes:lookalike_two_way"),
        gets=("kind", "copies", "rivalry"),
        labels=LOOKALIKE,
        backbone=(f"{network}@tiny", layer),
        pool=True,
        smallest_pool=2,
        chance=0.5,
        default="simulated",
    )
    for network, label, layer in (("clip", "CLIP", "image"), ("inception", "Incep", "avgpool"))
)

_SEMANTIC = {"inputs": "embedding", "backbone": ("clip@tiny", "image"), "pool": True, "chance": 0.0}
SEMANTIC = (
    row(
        "category-agreement@tiny",
        label="category kappa, CLIP tiny",
        score=call("harness.metrics.semantics:category_agreement"),
        gets=("captions", "kind"),
        labels=("category",),
        default="simulated",
        **_SEMANTIC,
    ),
    row(
        "caption-agreement@tiny",
        label="caption agreement, CLIP tiny",
        score=call("harness.metrics.semantics:caption_agreement"),
        gets=("captions",),
        default="simulated",
        **_SEMANTIC,
    ),
)

_AGREEMENT = {
    "inputs": "embedding",
    "targets": ("measured",),
    "backbone": ("pixels", "rgb8"),
    "pool": True,
    "chance": 0.0,
}
AGREEMENT = (
    row(
        "decoded-agreement",
        label="agreement",
        score=call("harness.metrics.agreement:agreement"),
        smallest_pool=2,
        **_AGREEMENT,
    ),
    row(
        "decoded-agreement-controlled",
        label="agreement beyond stimulus",
        version="2",  # 1 compared with reconstructions that shared the decoder's noise
        score=call("harness.metrics.agreement:controlled_agreement"),
        gets=("stimulus", "rendered"),
        independent=True,
        smallest_pool=8,
        **_AGREEMENT,
    ),
)

NEAREST_TRAIN = tuple(
    row(
        name,
        label=f"nearest training image, {what}",
        inputs="training",
        score=call("harness.metrics.nearest_train:distance_to_nearest"),
        targets=("training",),
        backbone=backbone,
        default=default,
    )
    for name, what, backbone, default in (
        ("pixel-nearest-train", "pixels", ("pixels", "rgb16"), "simulated"),
        ("clip-nearest-train@tiny", "CLIP tiny", ("clip@tiny", "image"), "simulated"),
        ("clip-nearest-train", "CLIP", ("clip-v1", "image"), False),  # it embeds the whole training set
    )
)

RETRIEVAL = tuple(
    row(
        f"{asked}-retrieval{suffix}",
        label=f"{asked} retrieval{ending}",
        inputs="decoder-embedding",
        score=call(f"harness.metrics.retrieval:{score}", given_image=asked == "brain"),
        gets=("ids", "copies"),
        targets=("stimulus",),
        pool=True,
        chance=1 / 300,
        **{"smallest_pool": 2, **more},
    )
    for suffix, ending, score, more in (
        ("", "", "retrieval", {"gallery": 300}),
        # Never among fewer than 300, so that chance is 1/300.
        ("-300x30", " 300 x 30", "retrieval_drawn", {"default": False, "smallest_pool": 300}),
    )
    for asked in ("image", "brain")
)

REENCODED = (
    row(
        "gnet-brain-correlation",
        label="GNet brain correlation",
        inputs="reencoded",
        score=call("harness.metrics.reencoding:brain_correlation"),
        deranged=call("harness.metrics.reencoding:brain_correlation_deranged"),
        lacking=call("harness.metrics.reencoding:lacks_gnet"),
        targets=("brain",),
        backbone=("gnet", "subject"),
        default=False,
    ),
)


def _caption(name: str, label: str, score: str, text: str = "", **more: Any) -> Metric:
    return row(
        f"caption-{name}",
        label=f"caption {label}",
        inputs="captions",
        score=call(f"harness.metrics.captions:{score}"),
        targets=("stimulus", "image", "measured"),
        backbone=(text, "text") if text else None,
        **more,
    )


CAPTIONS = (
    _caption("meteor", "METEOR (nltk)", "meteor_scores", weights=("wordnet",)),
    _caption("rouge1", "ROUGE-1", "rouge_1_scores"),
    _caption("rougel", "ROUGE-L", "rouge_l_scores"),
    _caption("minilm", "cosine, MiniLM", "cosines", "minilm-text"),
    _caption("clip-b32", "cosine, CLIP B/32", "cosines", "clip-b32-text"),
    _caption("clip-l14", "cosine, CLIP L/14", "cosines", "clip-l14-text"),
)


def _coco(
    name: str, label: str, score: str, *, definition: dict[str, Any] | None = None, **more: Any
) -> Metric:
    """A score of the COCO caption evaluation, which takes all references of an image."""
    return row(
        f"caption-coco-{name}",
        label=f"COCO {label}",
        inputs="captions",
        score=call(f"harness.metrics.coco_captions:{score}", **(definition or {})),
        targets=("stimulus", "image", "measured"),
        references=True,
        **more,
    )


COCO = (
    _coco("rougel", "ROUGE-L", "rouge_l"),
    *(
        _coco(
            f"bleu{order}",
            f"BLEU-{order}",
            "bleu",
            definition={"order": order},
            pool=True,
            default=order in (1, 4),
        )
        for order in range(1, 5)
    ),
    _coco("cider", "CIDEr-D", "cider", pool=True, smallest_pool=2),
    _coco("meteor-nltk", "METEOR (nltk, not Java)", "meteor_best", weights=("wordnet",)),
)

ROWS: tuple[Metric, ...] = (
    *PIXELS,
    *PIXEL_IDENTIFICATION,
    *family("-v1", default="real"),
    *family("-v2", suffix="-v2", mark=" (v2)", slots=tuple(n for n in NAMED if not n.startswith("dinov2"))),
    *family("-brain-diffuser", prefix="brain-diffuser-", mark=" (Brain-Diffuser)", slots=BRAIN_DIFFUSER),
    *family("@tiny", suffix="@tiny", small=True, default="simulated", cosines=False),
    *LOOKALIKES,
    *SEMANTIC,
    *AGREEMENT,
    *NEAREST_TRAIN,
    *RETRIEVAL,
    *REENCODED,
    *CAPTIONS,
    *COCO,
    *RESPONSES,
)
