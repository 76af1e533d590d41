"""Adapters use training statistics."""

from __future__ import annotations

import numpy as np
import pytest

from harness.rows.adapters import fit_adapter
from harness.seeds import image_seeds


@pytest.mark.parametrize("name", ["none", "match-std", "add-trial-noise"])
def test_adapters_use_training_statistics(data, name):
    rng = np.random.default_rng(0)
    synthetic = 0.3 * rng.standard_normal((60, 40)).astype(np.float32)
    adapter = fit_adapter(name, data.space, synthetic, data.train.responses, repeats=3)
    ids = data.test.stimuli.ids
    seeds = image_seeds(0, ids, 0)
    adapted = adapter(synthetic[:8], ids, seeds)
    again = adapter(synthetic[:8][::-1], ids[::-1], seeds[::-1])
    np.testing.assert_array_equal(adapted.mean(), again.mean()[::-1])  # order cannot matter
    if name == "none":
        np.testing.assert_array_equal(adapted.trials(), synthetic[:8])
    whole = adapter(synthetic, data.train.stimuli.ids, image_seeds(0, data.train.stimuli.ids, 0))
    measured = np.asarray(data.train.responses.data)
    if name == "match-std":
        np.testing.assert_allclose(whole.trials().std(axis=0), measured.std(axis=0), rtol=1e-4)
        np.testing.assert_allclose(whole.mean().mean(axis=0), measured.mean(axis=0), atol=1e-4)
    if name == "add-trial-noise":
        assert whole.counts().tolist() == [3] * 60
        ratio = whole.trials().std(axis=0) / measured.std(axis=0)
        assert abs(np.median(ratio) - 1) < 0.1
