"""Sizes of the VDVAE; its numbers are those of the recorded pair."""

from __future__ import annotations

import math

import pytest

from harness.api import ConfigError
from harness.decoders.brain_diffuser.vdvae import VdvaeSettings


def test_the_released_vdvae_has_as_many_numbers_as_the_paper_says():
    assert sum(map(math.prod, VdvaeSettings().latent_shapes()[:31])) == 91_168
    assert len(VdvaeSettings().decoder_blocks()) == 75
    with pytest.raises(ConfigError, match="ends at 64 pixels and images have 32"):
        VdvaeSettings(side=32)
