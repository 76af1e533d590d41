"""The backbones of this project: a network, its weights, and what it is given.

===================  ==============================================================================
suffix               path
===================  ==============================================================================
none                 the whole image at the network's own size, antialiased: for encoders, which must
                     not lose the border that a subject saw to a central crop
``-v1``              MindEye2's notebook: all images to 256 x 256, then on, antialias off
``-v2``              the same path with antialiasing
``-brain-diffuser``  Brain-Diffuser's scripts: 8-bit pictures straight to 224 x 224 by Pillow
===================  ==============================================================================

A new family is one more call of :func:`family`, here or in the catalogue of another distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..catalogue import Plugin, plugin
from .preprocessing import CLIP, IMAGENET, Preprocessing, Statistics

NETWORKS: dict[str, tuple[str, Statistics]] = {
    "alexnet": ("harness.backbones.alexnet:AlexNet", IMAGENET),
    "inception": ("harness.backbones.pooled:Inception", IMAGENET),
    "efficientnet": ("harness.backbones.pooled:EfficientNet", IMAGENET),
    "swav": ("harness.backbones.pooled:SwAV", IMAGENET),
    "resnet18": ("harness.backbones.pooled:ResNet18", IMAGENET),
    "clip": ("harness.backbones.openclip:Clip", CLIP),
    "dinov2": ("harness.backbones.transformers_models:DINOv2", IMAGENET),
}
"""Network -> its class, and the statistics that its weights were trained with."""

_NOTEBOOK = "MindEyeV2 c184718 src/final_evaluations.ipynb, torchvision 0.16"
_ANTIALIASED = "MindEyeV2's path with antialias on"
_SCRIPTS = "brain-diffuser 31d52c0 scripts/eval_extract_features.py"
_TORCHVISION = "torchvision's published transform of these weights without its central crop"
_SWAV = "facebookresearch/swav eval_linear.py without its central crop"
_IMG2FMRI = "img2fmri 1.0 predict.py without center_crop: Pillow, straight to 224 x 224"
_OPENAI = "openai/CLIP clip.py; a square image loses nothing to its crop"
_DINO = "preprocessor_config.json of facebook/dinov2-base, the whole image in place of its crop"

OWN: dict[str, Preprocessing] = {
    # whole image, own size        sides   filter      antialias
    "alexnet":       Preprocessing((224,), "bilinear", True, IMAGENET, _TORCHVISION),
    "inception":     Preprocessing((299,), "bilinear", True, IMAGENET, _TORCHVISION),
    "efficientnet":  Preprocessing((240,), "bilinear", True, IMAGENET, _TORCHVISION),
    "swav":          Preprocessing((224,), "bilinear", True, IMAGENET, _SWAV),
    "resnet18":      Preprocessing((224,), "bilinear", True, IMAGENET, _IMG2FMRI, by="pictures"),
    "clip":          Preprocessing((224,), "bicubic", True, CLIP, _OPENAI),
    "dinov2":        Preprocessing((224,), "bicubic", True, IMAGENET, _DINO),
}  # fmt: skip
"""Network -> what it is given under its own name."""

MINDEYE2_SIDES = {"alexnet": 256, "inception": 342, "efficientnet": 255, "swav": 224, "clip": 224}
BRAIN_DIFFUSER_SIDES = dict.fromkeys(MINDEYE2_SIDES, 224)


def family(
    suffix: str,
    sides: Mapping[str, int],
    given: Callable[[int, Statistics], Preprocessing],
    *,
    weights: Mapping[str, str] | None = None,
) -> tuple[Plugin, ...]:
    """Rows ``NETWORK + suffix`` of those networks (:data:`NETWORKS`) that `sides` gives a size to.

    given : (side in px, statistics) -> preprocessing.  weights : network -> name of weights, if not its own.
    """
    return tuple(
        network_row(name, f"{name}{suffix}", given(side, NETWORKS[name][1]), (weights or {}).get(name, name))
        for name, side in sides.items()
    )


def network_row(network: str, name: str, preprocessing: Preprocessing, weights: str) -> Plugin:
    """The backbone `name`: a network of :data:`NETWORKS` behind `preprocessing` with `weights`."""
    target, _ = NETWORKS[network]
    return plugin("backbones", name, target, name=name, preprocessing=preprocessing, weights=weights)


def _v1(side: int, statistics: Statistics) -> Preprocessing:
    return Preprocessing(_through(side), "bilinear", False, statistics, _NOTEBOOK)


def _v2(side: int, statistics: Statistics) -> Preprocessing:
    return Preprocessing(_through(side), "bilinear", True, statistics, _ANTIALIASED)


def _scripts(side: int, statistics: Statistics) -> Preprocessing:
    return Preprocessing((side,), "bilinear", True, statistics, _SCRIPTS, by="pictures")


def _through(side: int) -> tuple[int, ...]:
    return (256,) if side == 256 else (256, side)


_TEXTS = "harness.backbones.texts"
_TINY = "harness.backbones.tiny"

ROWS: tuple[Plugin, ...] = (
    plugin("backbones", "pixels", "harness.backbones.pixels:Pixels"),
    *(network_row(name, name, OWN[name], name) for name in NETWORKS),
    *family("-v1", MINDEYE2_SIDES, _v1),
    *family("-v2", MINDEYE2_SIDES, _v2),
    *family(
        "-brain-diffuser", BRAIN_DIFFUSER_SIDES, _scripts, weights={"efficientnet": "efficientnet-rwightman"}
    ),
    plugin(
        "backbones",
        "alexnet@random",
        "harness.backbones.alexnet:AlexNetRandom",
        name="alexnet@random",
        preprocessing=OWN["alexnet"],
        weights="",
    ),
    plugin("backbones", "gnet", "harness.backbones.gnet:GNet"),
    plugin("backbones", "clip-b32-text", f"{_TEXTS}:ClipB32Text"),
    plugin("backbones", "clip-l14-text", f"{_TEXTS}:ClipL14Text"),
    plugin("backbones", "minilm-text", f"{_TEXTS}:MiniLMText"),
    plugin("backbones", "scenes@tiny", f"{_TINY}.scenes:Scenes"),
    plugin("backbones", "alexnet@tiny", f"{_TINY}.alexnet:AlexNetTiny"),
    plugin("backbones", "inception@tiny", f"{_TINY}.inception:InceptionTiny"),
    plugin("backbones", "efficientnet@tiny", f"{_TINY}.efficientnet:EfficientNetTiny"),
    plugin("backbones", "clip@tiny", f"{_TINY}.clip:ClipTiny"),
    plugin("backbones", "bigg@tiny", f"{_TINY}.bigg:BigGTiny"),
    plugin("backbones", "dinov2@tiny", f"{_TINY}.dinov2:Dinov2Tiny"),
    plugin("backbones", "swav@tiny", f"{_TINY}.swav:SwavTiny"),
)

PREPROCESSING: dict[str, Preprocessing] = {
    row.name: dict(row.build.arguments)["preprocessing"]
    for row in ROWS
    if dict(row.build.arguments).get("weights")
}
"""Name of a pretrained backbone -> what its network is given."""
