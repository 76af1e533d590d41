"""Versatile Diffusion and Stable Diffusion 1.4 from the files that ``harness prefetch`` keeps.

=========================  =====================================================================
``versatile-diffusion``    image UNet, transformers of the text UNet, VAE (shi-labs, MIT), CLIP ViT-L/14
``stable-diffusion-1.4``   UNet, VAE (CompVis, CreativeML OpenRAIL-M), the same CLIP
=========================  =====================================================================

Files are in the layout of diffusers and of transformers.  Of Versatile Diffusion's text UNet only the
transformers are read, which have the names and shapes of the image UNet's; its other flow makes text.  The
public files were never seen here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from harness.api import DataError
from harness.backbones import weights
from harness.decoders.files import absent, check_exactly
from harness.decoders.mindeye2.generator import VaeSettings, load_vae

from .clip_tokens import ClipSizes, ClipTokens
from .conditions import Conditions
from .dual import UNetNoise, attends_to_both
from .painter import Painter, zeros

LATENT_SCALE = 0.18215
CLIP = ("clip", "clip-words")
VERSATILE = ("vd-image-unet", "vd-text-unet", "vd-vae")
STABLE = ("sd14-unet", "sd14-vae")


@dataclass(frozen=True)
class PublicSizes:
    """Sizes of what the files hold; the defaults are those of the released ones.

    channels, blocks, head_size, norm_groups : of the UNet, the first three levels of which attend.
    side : height and width of a latent image.
    """

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    blocks: int = 2
    heads: int = 8
    norm_groups: int = 32
    side: int = 64
    vae: VaeSettings = field(default_factory=VaeSettings)
    clip: ClipSizes = field(default_factory=ClipSizes)


SIZES = PublicSizes()


def names(kind: str, *, words: bool) -> tuple[str, ...]:
    """Names of the weights of ``versatile`` or ``stable`` diffusion, as ``harness prefetch`` knows them."""
    if kind == "stable":
        return (*STABLE, *CLIP)
    return (*(name for name in VERSATILE if words or name != "vd-text-unet"), *(CLIP if words else CLIP[:1]))


def versatile(*, words: bool, null: str = "zeros", sizes: PublicSizes | None = None) -> Painter:
    """Versatile Diffusion; without `words` its image flow alone.

    null : of the guidance, ``zeros``, or ``empty`` for a black image and a caption without words.
    """
    s = sizes or SIZES
    unet = _unet(s, weights.load_state("vd-image-unet"), what="vd-image-unet")
    if words:
        attends_to_both(unet, _transformers(s, weights.load_state("vd-text-unet")))
    clip = ClipTokens.from_public(weights.load_state("clip"), s.clip, words=words)
    return _painter(
        unet, s, clip, "vd-vae", clip.versatile_words, null, fingerprint("versatile", words=words)
    )


def stable(sizes: PublicSizes | None = None) -> Painter:
    """Stable Diffusion 1.4: words alone; the null is a caption without words."""
    s = sizes or SIZES
    unet = _unet(s, weights.load_state("sd14-unet"), what="sd14-unet")
    clip = ClipTokens.from_public(weights.load_state("clip"), s.clip, words=True)
    return _painter(unet, s, clip, "sd14-vae", clip.stable_words, "empty", fingerprint("stable", words=True))


def missing(kind: str, *, words: bool) -> list[str]:
    """A line for each file that is not here, with how to get it."""
    return missing_weights(names(kind, words=words))


def missing_weights(wanted: Sequence[str]) -> list[str]:
    """A line for each of the weights called `wanted` that is not here."""
    lines = absent(partial(weights.locate, name) for name in wanted)
    return [f"{line}; or --set decoder.preset=tiny for the small parts" for line in lines]


def fingerprint(kind: str, *, words: bool) -> str:
    """Identity of all weights; :class:`harness.errors.WeightsMissing` without one."""
    shas = [weights.stored_sha(name) for name in names(kind, words=words)]
    return hashlib.sha256("|".join(shas).encode()).hexdigest()


def unet_config(s: PublicSizes) -> dict[str, Any]:
    """Arguments of ``UNet2DConditionModel``, the same for both models."""
    levels = len(s.channels) - 1
    return {
        "sample_size": s.side,
        "in_channels": s.vae.latent_channels,
        "out_channels": s.vae.latent_channels,
        "down_block_types": ("CrossAttnDownBlock2D",) * levels + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * levels,
        "block_out_channels": s.channels,
        "layers_per_block": s.blocks,
        "attention_head_dim": s.heads,
        "cross_attention_dim": s.clip.projected,
        "norm_num_groups": s.norm_groups,
    }


def _meta_unet(s: PublicSizes) -> nn.Module:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(**unet_config(s))


def _unet(s: PublicSizes, state: Mapping[str, torch.Tensor], *, what: str) -> nn.Module:
    unet = _meta_unet(s)
    check_exactly(unet, state, what=what)
    unet.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    return unet.eval().requires_grad_(False)


def _transformers(s: PublicSizes, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """A UNet whose transformers have weights, and nothing else."""
    unet = _meta_unet(s)
    own = {name: value for name, value in unet.state_dict().items() if ".attentions." in name}
    given = {name: value.float() for name, value in state.items() if ".attentions." in name}
    if wrong := sorted(own.keys() ^ given.keys()) or [k for k in own if own[k].shape != given[k].shape]:
        raise DataError(
            f"weights of vd-text-unet: '{wrong[0]}' is missing, left over or of another shape; is this the "
            "text UNet of Versatile Diffusion?"
        )
    unet.load_state_dict(given, strict=False, assign=True)
    return unet.eval().requires_grad_(False)


def _painter(
    unet: nn.Module,
    s: PublicSizes,
    clip: ClipTokens,
    vae_name: str,
    word_tokens: Any,
    null: str,
    identity: str,
) -> Painter:
    vae = load_vae(weights.load_state(vae_name), s.vae)
    pixels = s.side * 2 ** (len(s.vae.channels) - 1)

    def empty(conditions: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
        count = len(generators)
        image = words = None
        if conditions.image is not None:
            black = torch.zeros(1, 3, pixels, pixels, device=clip.device)
            image = clip.image_tokens(black).expand(count, -1, -1)
        if conditions.words is not None:
            words = word_tokens([""]).expand(count, -1, -1)
        return Conditions(image, words)

    return Painter(
        noise=UNetNoise(unet),
        null=zeros if null == "zeros" else empty,
        image_tokens=clip.image_tokens,
        word_tokens=word_tokens,
        image_vector=clip.image_vector,
        word_vector=clip.word_vector,
        vae=vae,
        latent_scale=LATENT_SCALE,
        side=s.side,
        picture=pixels,
        modules=(unet, vae, clip),
        identity=identity,
        renormed=unit_first,
    )


def unit_first(tokens: torch.Tensor) -> torch.Tensor:
    """Every token (B, n, d) divided by the norm of the first, as Versatile Diffusion's conditions are."""
    return tokens / (tokens[:, :1].norm(dim=-1, keepdim=True) + 1e-6)
