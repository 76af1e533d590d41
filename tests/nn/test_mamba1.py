"""Mamba, version 1: stepping equals the scan, causality, initial values (its numbers: the pairs)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.nn.mamba1 import Mamba1
from harness.nn.mamba2 import Mamba2


def test_stepping_equals_the_scan_of_both_versions():
    torch.manual_seed(0)
    u = torch.randn(2, 7, 16)
    for layer in (Mamba1(16, d_state=4), Mamba2(16, d_state=4, headdim=8, ngroups=2)):
        memory, steps = None, []
        for t in range(u.shape[1]):
            y, memory = layer.step(u[:, t], memory)
            steps.append(y)
        torch.testing.assert_close(torch.stack(steps, dim=1), layer(u), rtol=1e-4, atol=1e-5)


def test_it_is_causal():
    torch.manual_seed(0)
    layer, u = Mamba1(16, d_state=4), torch.randn(1, 6, 16)
    later = u.clone()
    later[:, 4] += 1
    change = (layer(later) - layer(u)).abs().amax(dim=(0, 2))
    assert (change[:4] == 0).all()
    assert (change[4:] > 1e-6).all()


def test_initial_values_are_those_of_mamba_ssm():
    layer = Mamba1(64)
    torch.testing.assert_close(layer.A_log.exp()[3], torch.arange(1.0, 17))
    steps = F.softplus(layer.dt_proj.bias)
    assert ((steps > 0.00099) & (steps < 0.101)).all()
    assert layer.dt_proj.weight.abs().max() <= 0.5  # rank 4
