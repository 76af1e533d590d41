"""CLIP's towers (Radford et al. 2021, arXiv:2103.00020), built by open_clip, which is imported when needed.

Parameters are open_clip's.  Files of OpenCLIP hold them under these names; :func:`image_state` and
:func:`text_state` rename those of the hub's ``openai/clip-vit-*``, where query, key and value are apart and
projections are transposed.  Everything is computed in float32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .pretrained import Pretrained, filled

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of an image tower; the defaults are ViT-L/14's.

    side, patch : in px; expand : hidden units of a block's perceptron per unit of `width`;
    quick_gelu : x sigmoid(1.702 x), as OpenAI trained its towers, in place of GELU.
    """

    side: int = 224
    patch: int = 14
    width: int = 1024
    depth: int = 24
    heads: int = 16
    expand: float = 4.0
    projected: int = 768
    quick_gelu: bool = True


@dataclass(frozen=True)
class TextSizes:
    """Sizes of a text tower; the defaults are ViT-L/14's.

    words : in the vocabulary; length : of a text in words, ends included; projected : None for a tower
    without a projection.
    """

    words: int = 49408
    length: int = 77
    width: int = 768
    depth: int = 12
    heads: int = 12
    projected: int | None = 768
    quick_gelu: bool = True


VIT_L_IMAGE, VIT_L_TEXT = ImageSizes(), TextSizes()
VIT_B_TEXT = TextSizes(width=512, heads=8, projected=512)
"""Of ViT-B/32."""

BIGG_IMAGE = ImageSizes(width=1664, depth=48, expand=4.9231, projected=1280, quick_gelu=False)
BIGG_TEXT = TextSizes(width=1280, depth=32, heads=20, projected=1280, quick_gelu=False)
"""Of ViT-bigG/14 (open_clip ``ViT-bigG-14``)."""


class Clip(Pretrained):
    """The image tower of CLIP ViT-L/14.

    Layer ``image``: the 768 numbers that OpenAI's ``encode_image`` returns, of any norm.
    ``openai/clip-vit-large-patch14`` holds the same weights.  OpenAI's package halves the precision on a GPU.
    """

    layers: ClassVar[tuple[str, ...]] = ("image",)
    sizes: ClassVar[ImageSizes] = VIT_L_IMAGE

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`; the checkpoint's text tower is left out."""
        return with_weights(image_tower(self.sizes), image_state(state))

    def forward(
        self, network: torch.nn.Module, x: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """``image`` (n, 768)."""
        return {"image": network(x)} if layers else {}


def image_tower(sizes: ImageSizes) -> torch.nn.Module:
    """open_clip's ``VisionTransformer``, without weights (:func:`with_weights`).

    Pixels (n, 3, side, side) that CLIP's statistics normalised -> (n, projected), not normalised.
    """
    import torch
    from open_clip.transformer import QuickGELU, VisionTransformer

    with torch.device("meta"):
        return VisionTransformer(
            image_size=sizes.side,
            patch_size=sizes.patch,
            width=sizes.width,
            layers=sizes.depth,
            heads=sizes.heads,
            mlp_ratio=sizes.expand,
            output_dim=sizes.projected,
            act_layer=QuickGELU if sizes.quick_gelu else torch.nn.GELU,
        )


def text_tower(sizes: TextSizes) -> torch.nn.Module:
    """open_clip's ``TextTransformer``, without weights (:func:`with_weights`).

    Numbers of words (n, length) -> the feature at the largest number, which is the end of the text where
    nothing but 0 follows it: (n, projected), or (n, width) without a projection; not normalised.
    """
    import torch
    from open_clip.transformer import QuickGELU, TextTransformer

    with torch.device("meta"):
        return TextTransformer(
            context_length=sizes.length,
            vocab_size=sizes.words,
            width=sizes.width,
            layers=sizes.depth,
            heads=sizes.heads,
            output_dim=sizes.projected,
            act_layer=QuickGELU if sizes.quick_gelu else torch.nn.GELU,
        )


def word_states(tower: torch.nn.Module, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """States (n, length, width) before the last block of a text tower, and its feature as it returns it."""
    before_last = len(tower.transformer.resblocks) - 2
    out = tower.forward_intermediates(ids, indices=[before_last], output_fmt="NLC")
    return out["text_intermediates"][0], out["text_features"]


def with_weights(tower: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """`tower` with exactly `state`, in float32, for inference; RuntimeError for other names or shapes."""
    filled(tower, {name: value.float() for name, value in state.items()})
    if hasattr(tower, "attn_mask"):  # who may look at whom: no parameter, thus in no file
        tower.attn_mask = tower.build_causal_mask()
    return tower.eval().requires_grad_(False)


# The hub's names

_IMAGE = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
}
_TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
}
_BLOCK = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def image_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The image tower of a checkpoint in the hub's layout, under open_clip's names."""
    return _renamed(state, "vision_model.", _IMAGE, {"visual_projection.weight": "proj"})


def text_state(state: Mapping[str, torch.Tensor], *, projected: bool = True) -> dict[str, torch.Tensor]:
    """The text tower of the same, with its projection if `projected`."""
    projection = {"text_projection.weight": "text_projection"} if projected else {}
    return _renamed(state, "text_model.", _TEXT, projection)


def _renamed(
    state: Mapping[str, torch.Tensor], prefix: str, names: Mapping[str, str], projection: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """What begins with `prefix`, and the `projection`.

    What has no other name here keeps its own, so that it is refused where the weights are loaded.
    """
    import torch

    renamed: dict[str, torch.Tensor] = {}
    thirds: dict[str, dict[str, torch.Tensor]] = {}  # joined parameter -> q, k, v -> value
    for key, value in state.items():
        if key in projection:
            renamed[projection[key]] = value.T.contiguous()
        if not key.startswith(prefix) or key.endswith(".position_ids"):  # 0, 1, 2 ...: no parameter
            continue
        name = key.removeprefix(prefix)
        if third := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", name):
            number, letter, kind = third.groups()
            joined = f"transformer.resblocks.{number}.attn.in_proj_{kind}"
            thirds.setdefault(joined, {})[letter] = value
        elif block := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
            number, part, kind = block.groups()
            renamed[f"transformer.resblocks.{number}.{_BLOCK.get(part, part)}.{kind}"] = value
        else:
            part, _, kind = name.rpartition(".")
            renamed[names[name] if name in names else f"{names.get(part, part)}.{kind}"] = value
    for joined, parts in thirds.items():
        if parts.keys() == set("qkv"):
            renamed[joined] = torch.cat([parts[letter] for letter in "qkv"])
    return renamed
