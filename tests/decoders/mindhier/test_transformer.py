"""Scale-wise attention, the map of levels, and the cost of nothing but one's own scale."""

from __future__ import annotations

import pytest
import torch

from harness.api import ConfigError
from harness.decoders.mindhier.scales import (
    SIDES_256,
    SIDES_512,
    SIDES_1024,
    check_sides,
    level_of,
    refiner_of,
    rows_of,
)
from harness.decoders.mindhier.transformer import ScaleTransformer, TransformerSettings

SIZES = TransformerSettings(
    depth=2,
    width=32,
    heads=4,
    codes=20,
    code_channels=5,
    sides=(1, 2, 3, 5),
    context_width=12,
    pooled_width=12,
)


@pytest.fixture(scope="module")
def network() -> ScaleTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ScaleTransformer(SIZES)
        network.start(gate=0.5)
    return network.eval()


@pytest.fixture(scope="module")
def given() -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(3, 38, 5, generator=draw)
    context = [torch.randn(3, n, 12, generator=draw) for n in (7, 7, 7)]
    return inputs, torch.randn(3, 12, generator=draw), context


@pytest.mark.parametrize(
    ("scales", "levels"),
    [
        (5, [4, 4, 3, 2, 1]),
        (6, [4, 4, 3, 2, 2, 1]),
        (10, [4, 4, 4, 3, 3, 2, 2, 2, 1, 1]),
        (14, [4, 4, 4, 4, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1]),
    ],
)
def test_levels_of_scales_are_those_of_the_paper(scales, levels):
    assert [level_of(k, scales=scales, levels=4) for k in range(1, scales + 1)] == levels
    with pytest.raises(ConfigError, match="counted from 1"):
        level_of(0, scales=scales, levels=4)


@pytest.mark.parametrize(
    ("scales", "refiners"),
    [
        (5, [0, 1, 2, 2, 3]),
        (10, [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]),
        (14, [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3]),
    ],
)
def test_refiners_of_scales_are_those_of_the_original(scales, refiners):
    assert [refiner_of(k, scales=scales, refiners=4) for k in range(scales)] == refiners


def test_tokens_of_the_published_sides():
    lengths = [rows_of(sides)[-1].stop for sides in (SIDES_256, SIDES_512, SIDES_1024)]
    assert lengths == [680, 2240, 9451]
    with pytest.raises(ConfigError, match="expected 1 and then larger"):
        check_sides((1, 3, 3))


@torch.no_grad()
def test_slices_of_keys_and_values_equal_dense_masked_attention(network, given):
    inputs, pooled, context = given
    torch.testing.assert_close(
        network(inputs, pooled, context), network.dense(inputs, pooled, context), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_each_scale_sees_its_own_level_only(network, given):
    inputs, pooled, context = given
    before = network(inputs, pooled, context)
    for changed in range(3):
        other = [part + (k == changed) for k, part in enumerate(context)]
        after = network(inputs, pooled, other)
        moved = [bool((before[:, rows] - after[:, rows]).abs().max() > 1e-6) for rows in rows_of(SIZES.sides)]
        assert moved == [network.segment(k, 3) == changed for k in range(4)]


@torch.no_grad()
def test_a_scale_hears_of_others_through_its_input_alone(network, given):
    inputs, pooled, context = given
    changed = inputs.clone()
    changed[:, :4] += 1  # what scale 2 reads
    moved = (network(inputs, pooled, context) - network(changed, pooled, context)).abs().amax((0, 2))
    assert moved[1:5].min() > 0
    assert not moved[0].any()
    assert not moved[5:].any()


def test_a_head_that_cannot_be_turned_is_refused():
    with pytest.raises(ConfigError, match="multiple of 4"):
        TransformerSettings(width=36, heads=6)
