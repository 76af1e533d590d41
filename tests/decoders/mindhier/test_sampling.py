"""Codes and pictures that are drawn: filters, guidance, candidates, one generator per image."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.api import ConfigError
from harness.decoders.drawing import image_generators
from harness.decoders.mindhier.quantizer import MultiScaleQuantizer
from harness.decoders.mindhier.sampling import (
    SamplingSettings,
    draw_codes,
    mixed_codes,
    sample,
)
from harness.decoders.mindhier.transformer import ScaleTransformer, TransformerSettings

SIZES = TransformerSettings(
    depth=1, width=16, heads=2, codes=24, code_channels=4, sides=(1, 2, 4), context_width=6, pooled_width=6
)
DRAWING = SamplingSettings(guidance=2.0, top_k=12)


@pytest.fixture(scope="module")
def parts() -> tuple[ScaleTransformer, MultiScaleQuantizer]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, quantizer = ScaleTransformer(SIZES), MultiScaleQuantizer(24, 4, SIZES.sides)
        network.start(gate=0.5)
        with torch.no_grad():
            network.head.weight.mul_(200)
    return network.eval(), quantizer.eval()


@torch.no_grad()
def guides(network, rows, *, shift=0.0):
    draw = torch.Generator().manual_seed(3)
    context = [torch.randn(5, 3, 6, generator=draw)[rows] + shift for _ in range(2)]
    return network.guide(context[0].mean(1), context)


def drawn(parts, rows=slice(None), *, candidates=1, **changed):
    network, quantizer = parts
    guide, null = guides(network, rows), guides(network, slice(0, 1), shift=1.0)
    generators = image_generators(range(5))[rows]
    settings = dataclasses.replace(DRAWING, **changed)
    return sample(
        network, quantizer, guide, null, generators=generators, settings=settings, candidates=candidates
    )


def test_an_image_is_the_same_alone_and_with_others(parts):
    torch.testing.assert_close(drawn(parts)[3:4], drawn(parts, slice(3, 4)), rtol=1e-4, atol=1e-5)


def test_the_first_candidate_is_the_same_however_many_there_are(parts):
    several = drawn(parts, candidates=3)
    torch.testing.assert_close(several[:, :1], drawn(parts), rtol=1e-4, atol=1e-5)
    assert (several[:, 0] - several[:, 1]).abs().max() > 0.01


def test_smoothing_mixes_codes(parts):
    assert (drawn(parts, smooth=True) - drawn(parts)).abs().max() > 0.01
    shares = mixed_codes(torch.randn(2, 7), torch.rand(2, 7), 1.0)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2))


def test_guidance_counts_where_it_is_on(parts):
    without = drawn(parts, guidance=0.0)
    assert torch.equal(drawn(parts, guided_from=3), without)
    assert torch.equal(drawn(parts, guided_until=1), without)  # the first scale is never guided
    assert not torch.equal(drawn(parts), without)
    network, quantizer = parts
    whole, five = guides(network, slice(None)), image_generators(range(5))
    with pytest.raises(ConfigError, match=r"decoder\.guidance=0"):
        sample(network, quantizer, whole, None, generators=five, settings=DRAWING)


def test_filters_keep_the_likeliest():
    logits = torch.tensor([4.0, 3.0, 2.0, -9.0]).log_softmax(0).expand(4000, 4)
    uniform = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    all_codes = torch.bincount(draw_codes(logits, uniform, top_k=0, top_p=1.0), minlength=4) / 4000
    torch.testing.assert_close(all_codes, logits[0].exp(), atol=0.03, rtol=0)
    assert set(draw_codes(logits, uniform, top_k=2, top_p=1.0).tolist()) == {0, 1}
    assert set(draw_codes(logits, uniform, top_k=0, top_p=0.7).tolist()) == {0, 1}
    assert set(draw_codes(logits, uniform, top_k=0, top_p=0.01).tolist()) == {0}
    assert draw_codes(logits[:1], torch.tensor([1.0]), top_k=2, top_p=1.0).item() == 1


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="top_p"):
        SamplingSettings(top_p=0)
    with pytest.raises(ConfigError, match="top_k"):
        SamplingSettings(top_k=-1)
