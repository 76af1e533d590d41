"""Schedules against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.training import OneCycle


@pytest.mark.parametrize(("total", "rise"), [(200, 0.2), (9, 2 / 3), (61, 2 / 7), (4, 0.5)])
def test_one_cycle_is_torchs_number_for_number(total, rise):
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=3e-4)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-4, total_steps=total, pct_start=rise, div_factor=25, final_div_factor=1000
    )
    ours = OneCycle(3e-4, total, rise=rise, first=25, last=1000)
    for step in range(total):
        group = optimizer.param_groups[0]
        assert ours(step) == {"lr": group["lr"], "betas": group["betas"]}
        optimizer.step()
        if step + 1 < total:
            theirs.step()
