"""The full-size decoder counted on the meta device: it decodes and refines on one card of 24 GB."""

from __future__ import annotations

import pytest

from harness.decoders.mindeye2 import MindEye2Decoder
from harness.decoders.mindeye2.params import MindEye2Params
from harness.decoders.mindeye2.room import Room
from harness.nn.costs import Count, PartCount
from harness.plugins import find
from harness.presets import plugin_defaults

CARD = 22e9


@pytest.fixture(scope="module")
def costs():
    preset = plugin_defaults(
        find("decoders", "mindeye2"), benchmark=find("benchmarks", "paired"), preset="paper"
    )
    return MindEye2Decoder.costs(MindEye2Params(weights="released", **preset), images=16)


@pytest.fixture(scope="module")
def parts(costs):
    return costs.parts


def test_the_paper_preset_decodes_and_refines_in_22_gb(costs, parts):
    """A micro-batch of 16, whatever of the other parts may stay while one works."""
    assert [part.name for part in parts if "refinement" in part.name]
    room = Room.on("cpu", memory=CARD / 1e9)
    weights = {part.name.partition(",")[0]: part.weights for part in parts}
    staying = min(room.limit, sum(weights.values()))
    assert max(staying + part.work.working for part in parts) <= CARD
    assert costs.peak.memory <= CARD
    assert costs.peak.name == "UNet of unCLIP"


def test_the_counts_are_those_of_the_released_sizes(costs, parts):
    by_name = {part.name: part for part in parts}
    assert by_name["diffusion prior"].calls == 19
    assert by_name["UNet of unCLIP"].calls == 38
    assert by_name["UNet of the refinement"].calls == 12
    assert 370e12 < costs.operations() < 388e12  # 388 with every step's keys and the image tower
    # 2,227,294,844 parameters, products in half precision: a little more than two bytes each
    assert 2.0 < by_name["diffusion prior"].weights / 2_227_294_844 < 2.01
    assert not any("tower" in part.name and "prompts" not in part.name for part in parts)


def test_what_is_kept_of_an_image(costs):
    """A picture of 768 px, a blurry one of 224 px and 256 x 1664 tokens, all in float16."""
    assert costs.kept == 2 * (3 * 768**2 + 3 * 224**2 + 256 * 1664)


def test_the_bound_is_the_slower_of_operations_and_weights(costs):
    unet = next(part for part in costs.parts if part.name == "UNet of unCLIP")
    assert unet.seconds("RTX 4090") == pytest.approx(unet.work.operations / 16 / 165.2e12)
    alone = PartCount("a", 1, 10**9, Count(10**9, 0, 0), 3)
    assert alone.seconds("RTX 4090") == pytest.approx(3e9 / 1008e9)
    assert alone.again(4).seconds("RTX 4090") == pytest.approx(12e9 / 1008e9)


def test_small_parts_are_not_counted():
    assert MindEye2Decoder.costs(MindEye2Params(weights="tiny"), images=1) is None
