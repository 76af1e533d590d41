"""CHASMBrain's losses against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.encoders.chasm.losses import contrast, correlation, divergence, warm_up


def test_loss_parts_equal_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    r = correlation(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    assert r == pytest.approx([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b)])
    assert correlation(torch.ones(1, 4), torch.randn(1, 4)).tolist() == [0.0]
    unit_a, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    logits = unit_a @ unit_b.T / 0.07
    expected = np.mean(
        [np.log(np.exp(matrix).sum(axis=1)) - np.diag(matrix) for matrix in (logits, logits.T)]
    )
    loss = contrast(torch.from_numpy(unit_a), torch.from_numpy(unit_b), temperature=0.07)
    assert float(loss) == pytest.approx(expected)
    mean, log_variance = torch.from_numpy(a), torch.from_numpy(b)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1)).mean()
    assert float(divergence(mean, log_variance)) == pytest.approx(float(expected))
    assert [warm_up(e, 4) for e in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0
