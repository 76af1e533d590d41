"""Memory and operations of drawing at full size, counted on the meta device before a byte is loaded.

The networks are built at their released sizes without memory (:mod:`harness.nn.counting`), in float32, as
they decode.  Each scale is a part of its own, since the first ones wait for weights and the last ones for
products; codes that are drawn and added up need few operations and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from harness.nn.costs import DecodingCosts, PartCount
from harness.nn.counting import count, weight_bytes

from .encoder import EncoderOutput, HierarchicalEncoder
from .params import MindHierParams
from .public import PublicSizes
from .transformer import ScaleTransformer
from .vqvae import VQVAE


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
    responses = torch.empty(images, voxels)
    work = count(lambda: encoder(responses, text=False))
    yield PartCount("fMRI encoder", images, weight_bytes(encoder), work, 1)
    network, sampling = ScaleTransformer(sizes.transformer).eval(), params.sampling()
    weights, scales = weight_bytes(network), len(sizes.transformer.sides)
    with torch.no_grad():
        output = encoder(responses, text=False)
    yield PartCount("keys and values", images, weights, count(lambda: _guide(network, output)), 1)
    with torch.no_grad():
        guide = _guide(network, output).repeated(params.candidates)
    for scale, side in enumerate(sizes.transformer.sides):
        rows = guide.joined(guide) if sampling.guided(scale, scales) else guide
        inputs = torch.empty(len(rows.condition), side * side, sizes.transformer.code_channels)
        work = count(network.scale_logits, inputs, scale, rows)
        yield PartCount(f"transformer, scale of {side} x {side}", images, weights, work, 1)
    vqvae, side = VQVAE(sizes.vqvae).eval(), sizes.vqvae.sides[-1]
    total = torch.empty(images * params.candidates, sizes.vqvae.code_channels, side, side)
    yield PartCount("VQ-VAE", images, weight_bytes(vqvae), count(vqvae.picture, total), 1)


def _guide(network: ScaleTransformer, output: EncoderOutput):
    return network.guide(output.start(), output.levels)
