"""Memory and operations of drawing at full size, counted on the meta device before a byte is loaded.

The networks are built at their released sizes without memory (:mod:`harness.nn.counting`), in float32, as
they decode.  Each scale is a part of its own, since the first ones wait for weights and the last ones for
products; codes that are drawn and added up need few operations and are left out.  All networks stay on the
device, CLIP among them, and so do keys and values of every row while scales are drawn: those of the images,
and once more those of the rows that guidance joins.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from harness.nn.costs import Count, DecodingCosts, PartCount
from harness.nn.counting import count, weight_bytes

from .encoder import EncoderOutput, HierarchicalEncoder
from .params import MindHierParams
from .public import PublicSizes
from .transformer import ScaleTransformer
from .vqvae import VQVAE

CLIP_BYTES = 4 * 427_616_513
"""Of CLIP ViT-L/14 with both towers, float32: the image network, which decoding itself does not run."""


def decoding(
    params: MindHierParams, *, voxels: int = 15724, images: int = 1, sizes: PublicSizes | None = None
) -> DecodingCosts:
    """Parts in the order in which they draw `images` images at once, and what is kept of each."""
    sizes = sizes or PublicSizes()
    with torch.device("meta"):
        parts = tuple(_parts(params, sizes, voxels, images))
    embedding = sizes.encoder.image_tokens * sizes.encoder.width
    pictures = params.candidates * 3 * sizes.vqvae.picture**2
    return DecodingCosts(parts, 4 * (pictures + embedding))


def _parts(params: MindHierParams, sizes: PublicSizes, voxels: int, images: int) -> Iterator[PartCount]:
    encoder = HierarchicalEncoder(voxels, sizes.encoder).eval()
    network, vqvae = ScaleTransformer(sizes.transformer).eval(), VQVAE(sizes.vqvae).eval()
    all_weights = CLIP_BYTES + sum(map(weight_bytes, (encoder, network, vqvae)))

    def part(name: str, own: nn.Module, work: Count, kept: int = 0) -> PartCount:
        weights = weight_bytes(own)
        return PartCount(name, images, weights, work, 1, held=all_weights - weights + kept)

    responses, sampling = torch.empty(images, voxels), params.sampling()
    yield part("fMRI encoder", encoder, count(lambda: encoder(responses, text=False)))
    with torch.no_grad():
        output = encoder(responses, text=False)
    yield part("keys and values", network, count(lambda: _guide(network, output)))
    with torch.no_grad():
        own = _guide(network, output)
        guide = own.repeated(params.candidates)
    both = guide.joined(guide) if sampling.guidance else guide
    kept = sum(each.bytes() for each in {id(each): each for each in (own, guide, both)}.values())
    scales = len(sizes.transformer.sides)
    for scale, side in enumerate(sizes.transformer.sides):
        rows = both if sampling.guided(scale, scales) else guide
        inputs = torch.empty(len(rows.condition), side * side, sizes.transformer.code_channels)
        work = count(network.scale_logits, inputs, scale, rows)
        yield part(f"transformer, scale of {side} x {side}", network, work, kept)
    side = sizes.vqvae.sides[-1]
    total = torch.empty(images * params.candidates, sizes.vqvae.code_channels, side, side)
    yield part("VQ-VAE", vqvae, count(vqvae.picture, total), own.bytes())


def _guide(network: ScaleTransformer, output: EncoderOutput):
    return network.guide(output.start(), output.levels)
