"""Memory and operations of decoding, part by part, counted on the meta device before a byte is loaded.

Every part is built at its released size without memory (:mod:`harness.nn.counting`), in the precision that
the parameters say.  Parts are on the device one after another (:mod:`.room`), so the least peak is that of
the part that needs most: its weights and what it needs while it works.  Work of libraries (cuDNN's buffers,
fragments) is not in it.  Nothing here is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from harness.backbones.openclip import text_tower
from harness.nn.costs import Count, DecodingCosts, PartCount
from harness.nn.counting import count, weight_bytes
from harness.nn.halving import DTYPES, cast, halve_products

from .conditions import conditions_once
from .generator import build_vae
from .low_level import SLICE
from .model import MindEye2Network
from .params import MindEye2Params
from .public import PublicSizes
from .refinement import SIZE_NUMBERS, sdxl_config
from .unclip import build_unet

WORDS = 77
"""Numbers of words that both text towers read."""


def decoding(
    params: MindEye2Params,
    *,
    voxels: int = 15724,
    images: int = 1,
    repeats: int = 3,
    sizes: PublicSizes | None = None,
) -> DecodingCosts:
    """Parts in the order in which they decode `images` images of `repeats` trials, and what is kept of each.

    The words of captions need few operations and are not counted, nor is the image tower, which decoding does
    not need.
    """
    sizes = sizes or PublicSizes()
    with torch.device("meta"):
        parts = tuple(_parts(params, sizes, voxels, images, repeats))
    latents, kept = sizes.network.backbone, picture_numbers(sizes) * params.candidates
    kept += latents.tokens * latents.token_dim
    if params.low_level:
        kept += 3 * (8 * latents.latent_side) ** 2
    return DecodingCosts(parts, kept * (4 if params.half == "float32" else 2))


def picture_numbers(sizes: PublicSizes) -> int:
    """Numbers of one picture."""
    return 3 * (8 * sizes.drawing.side) ** 2


def _parts(
    params: MindEye2Params, sizes: PublicSizes, voxels: int, images: int, repeats: int
) -> Iterator[PartCount]:
    yield from _network(params, sizes, voxels, images, repeats)
    latents = sizes.network.backbone
    if params.low_level:
        small = torch.empty(images, latents.latent_channels, latents.latent_side, latents.latent_side)
        yield _vae("VAE of the blurry image", sizes, small, torch.float32)
    if params.captions:
        yield _captioner(sizes, images)
    for part in _drawing(params, sizes, images):
        yield part.again(params.candidates)


def _drawing(params: MindEye2Params, sizes: PublicSizes, images: int) -> Iterator[PartCount]:
    """What draws one candidate of every image."""
    dtype, scale = DTYPES[params.half], 8 * sizes.drawing.side
    latent = torch.empty(images, sizes.unet.latent_channels, sizes.drawing.side, sizes.drawing.side)
    vae = dtype if params.vae_fix else torch.float32
    unet = cast(build_unet(sizes.unet), dtype)
    tokens = torch.empty(2 * images, sizes.network.backbone.tokens, sizes.unet.token_dim, dtype=dtype)
    vector = torch.empty(2 * images, sizes.unet.vector_dim, dtype=dtype)
    more = {"encoder_hidden_states": tokens, "class_labels": vector}
    yield _unet("UNet of unCLIP", unet, latent, more, steps=params.steps, dtype=dtype)
    yield _vae("VAE of unCLIP", sizes, latent, vae)
    if not params.refine:
        return
    picture = torch.empty(images, 3, scale, scale)
    yield _vae("VAE of the refinement, encoding", sizes, picture, vae, encodes=True)
    yield _prompts(sizes, images)
    yield _refiner(params, sizes, latent, dtype)
    yield _vae("VAE of the refinement", sizes, latent, vae)


def _network(
    params: MindEye2Params, sizes: PublicSizes, voxels: int, images: int, repeats: int
) -> Iterator[PartCount]:
    """The trained part: ridge layer and backbone on every trial, then the prior's calls."""
    backbone = replace(sizes.network.backbone, hidden=params.hidden, low_level=params.low_level)
    settings, dtype = replace(sizes.network, backbone=backbone), DTYPES[params.half]
    network = halve_products(MindEye2Network([voxels], settings), dtype).eval()
    trials = torch.empty(images * repeats, voxels, dtype=dtype)
    noisy = torch.empty(images, backbone.tokens, backbone.token_dim, dtype=dtype)
    time = torch.empty(images, dtype=torch.long)

    weights = weight_bytes(network)
    # The meta device has no autocast: work is counted with norms and sums in half precision too.
    network.to(device="meta", dtype=dtype)

    def denoise() -> None:
        network.diffusion_prior.net(noisy, time, condition=noisy)

    calls = params.prior_steps - (params.prior_steps < sizes.network.prior.timesteps)  # DDIM ends at time -1
    half = dtype != torch.float32
    yield PartCount("ridge layer and backbone", images, weights, count(network, [trials]), 1, half)
    prior = count(denoise).times(calls)
    yield PartCount("diffusion prior", images, weights, prior, calls, half)


def _unet(
    name: str, unet: nn.Module, latent: torch.Tensor, more: dict, *, steps: int, dtype: torch.dtype
) -> PartCount:
    """Every step, the condition computed at the first alone; both halves of the guidance at once."""
    both, time = torch.cat([latent, latent]).to(dtype), torch.empty((), dtype=torch.long)
    with conditions_once(unet):
        first = count(lambda: unet(both, time, **more))
        later = count(lambda: unet(both, time, **more))
    work = first.then(later.times(steps - 1)) if steps > 1 else first
    kept = sum(
        2
        * more["encoder_hidden_states"][..., 0].numel()
        * block.attn2.to_k.out_features
        * both.element_size()
        for block in unet.modules()
        if getattr(block, "attn2", None) is not None
    )
    work = Count(work.operations, work.traffic, work.working + kept)
    return PartCount(name, len(latent), weight_bytes(unet), work, steps, dtype != torch.float32)


def _refiner(
    params: MindEye2Params, sizes: PublicSizes, latent: torch.Tensor, dtype: torch.dtype
) -> PartCount:
    from diffusers import UNet2DConditionModel

    unet, images = cast(UNet2DConditionModel(**sdxl_config(sizes.refiner)), dtype), len(latent)
    states = torch.empty(2 * images, WORDS, sizes.refiner.unet.token_dim, dtype=dtype)
    pooled = torch.empty(2 * images, sizes.refiner.prompts.open.projected, dtype=dtype)
    added = {"text_embeds": pooled, "time_ids": torch.empty(2 * images, SIZE_NUMBERS)}
    steps = len(params.refining().schedule()[0])
    more = {"encoder_hidden_states": states, "added_cond_kwargs": added}
    return _unet("UNet of the refinement", unet, latent, more, steps=steps, dtype=dtype)


def _vae(
    name: str, sizes: PublicSizes, values: torch.Tensor, dtype: torch.dtype, *, encodes: bool = False
) -> PartCount:
    """Few images at once where they are large (:data:`.low_level.SLICE`)."""
    vae, images = cast(build_vae(sizes.vae), dtype), len(values)
    places = values[0, 0].numel() // (64 if encodes else 1)
    together = min(images, max(1, SLICE // places))
    slice_, calls = values[:together].to(dtype), math.ceil(images / together)
    work = count(lambda: vae.encode(slice_) if encodes else vae.decode(slice_)).times(calls)
    pictures = values.nbytes if encodes else values[:, :1].nbytes * 3 * 64
    work = Count(work.operations, work.traffic, work.working + pictures)
    return PartCount(name, images, weight_bytes(vae), work, calls, dtype != torch.float32)


def _prompts(sizes: PublicSizes, images: int) -> PartCount:
    towers = [text_tower(sizes.refiner.prompts.clip), text_tower(sizes.refiner.prompts.open)]
    ids = torch.empty(images, WORDS, dtype=torch.long)
    work = count(lambda: towers[0](ids)).then(count(lambda: towers[1](ids)))
    return PartCount("text towers of the prompts", images, weight_bytes(*towers), work, 1)


def _captioner(sizes: PublicSizes, images: int) -> PartCount:
    """GIT as transformers has it by default, its image tower left out, and the converter before it."""
    from transformers import GitConfig, GitForCausalLM

    from .captions import LENGTH, TokenConverter

    read = sizes.converter
    side = 14 * math.isqrt(read.read_tokens - 1)
    tower = {"hidden_size": read.read_dim, "image_size": side, "patch_size": 14}
    tower |= {"num_hidden_layers": 1, "num_attention_heads": 1}
    git, converter = GitForCausalLM(GitConfig(vision_config=tower)), TokenConverter(read)
    git.git.image_encoder = nn.Identity()
    work = count(lambda: converter(torch.empty(images, read.tokens, read.dim)))
    return PartCount("captioner", images, weight_bytes(git, converter), work, LENGTH)
