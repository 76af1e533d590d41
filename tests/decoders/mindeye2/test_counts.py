"""The full-size decoder counted on the meta device: it decodes and refines on one card of 24 GB."""

from __future__ import annotations

import pytest

from harness.decoders.mindeye2 import counts
from harness.decoders.mindeye2.params import MindEye2Params
from harness.decoders.mindeye2.room import Room
from harness.plugins import find
from harness.presets import plugin_defaults

CARD = 22e9


@pytest.fixture(scope="module")
def parts():
    preset = plugin_defaults(
        find("decoders", "mindeye2"), benchmark=find("benchmarks", "paired"), preset="paper"
    )
    return counts.decoding(MindEye2Params(weights="released", **preset), images=16)


def test_the_paper_preset_decodes_and_refines_in_22_gb(parts):
    """A micro-batch of 16, whatever of the other parts may stay while one works."""
    assert [part.name for part in parts if "refinement" in part.name]
    room = Room.on("cpu", memory=CARD / 1e9)
    weights = {part.name.partition(",")[0]: part.weights for part in parts}
    staying = min(room.limit, sum(weights.values()))
    assert max(staying + part.work.working for part in parts) <= CARD
    assert counts.peak(parts).memory <= CARD
    assert counts.peak(parts).name == "UNet of unCLIP"


def test_the_counts_are_those_of_the_released_sizes(parts):
    by_name = {part.name: part for part in parts}
    assert by_name["diffusion prior"].calls == 19
    assert by_name["UNet of unCLIP"].calls == 38
    assert by_name["UNet of the refinement"].calls == 12
    total = sum(part.work.operations for part in parts) / 16
    assert 370e12 < total < 388e12  # 388 with every step's keys and the image tower
    # 2,227,294,844 parameters, products in half precision: a little more than two bytes each
    assert 2.0 < by_name["diffusion prior"].weights / 2_227_294_844 < 2.01
    assert not any("tower" in part.name and "prompts" not in part.name for part in parts)
