"""The regression whose predictions get their spread back."""

from __future__ import annotations

import numpy as np

from harness.decoders.brain_diffuser.regression import RescaledRidge


def test_the_spread_of_few_predictions_comes_from_held_out_rows_or_from_the_test_set():
    rng = np.random.default_rng(1)
    voxels = rng.standard_normal((80, 30))
    targets = voxels @ rng.standard_normal((30, 4)) + 5 * rng.standard_normal((80, 4)) + 7
    ridge = RescaledRidge.fit(voxels, targets, penalty=500.0)
    new = rng.standard_normal((400, 30))
    predicted = ridge.predict(new)
    assert np.allclose(predicted.std(0), targets.std(0), rtol=0.25)  # the ridge alone gives far less
    assert (ridge.raw(new).std(0) < 0.5 * targets.std(0)).all()
    exact = ridge.calibrated(new).predict(new)
    assert np.allclose(exact.std(0), targets.std(0))
    assert np.allclose(exact.mean(0), targets.mean(0))
    alone = ridge.calibrated(new[:1]).predict(new[:1])
    assert np.allclose(alone, targets.mean(0))
