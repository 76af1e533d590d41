"""The regression without an intercept."""

from __future__ import annotations

import numpy as np

from harness.decoders.takagi.regression import ScaledRidge


def test_without_an_intercept_what_is_decoded_lacks_the_mean():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5)) + 3
    y = (x @ rng.standard_normal((5, 2)) + 100).astype(np.float32)
    bare = ScaledRidge.fit(x, y, penalties=[1e-3])
    whole = ScaledRidge.fit(x, y, penalties=[1e-3], intercept=True)
    assert abs(bare.predict(x).mean()) < 1
    assert np.allclose(whole.predict(x), y, atol=0.1)
