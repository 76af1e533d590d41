"""Parameters of ``chasm`` that cannot be."""

from __future__ import annotations

import pytest

from harness.api import ConfigError
from harness.encoders.chasm.params import ChasmParams


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"topk": 0.0}, "encoder.topk is 0.0; expected a share above 0, at most 1"),
        ({"validation": 0.9}, "at most 0.5"),
        ({"width": 100}, "must be a multiple of head_width"),
        ({"queries": 0}, "encoder.queries is 0; it must be at least 1"),
        ({"stage1_batch": 1}, "the contrast needs other images"),
        ({"intervention": "swap", "stage1_arch": "transformer"}, "needs two streams"),
        ({"latent_samples": True, "stage2_refiner": "dual"}, "needs the variational latent"),
        ({"stage1_arch": "transformer", "attention_heads": 7}, "multiple of attention_heads"),
    ],
)
def test_impossible_parameters_are_refused(given_, message):
    with pytest.raises(ConfigError, match=message):
        ChasmParams(**given_)
