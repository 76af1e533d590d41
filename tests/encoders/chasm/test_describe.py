"""Sizes and work of CHASMBrain's networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.encoders.chasm.clusters import (
    Clusters,
    even_runs,
)
from harness.encoders.chasm.describe import multiply_accumulates, parameter_table
from harness.encoders.chasm.params import ChasmParams
from harness.encoders.chasm.stage1 import Stage1


def test_stage_one_has_the_published_size():
    clusters = Clusters(even_runs(15724, 30))
    network = Stage1(
        ChasmParams(), cls_dim=768, patch_dim=768, patches=256, biases=[torch.zeros(clusters.count)]
    ).eval()
    table = parameter_table(network)
    assert 14.6e6 <= sum(table.values()) <= 15.1e6
    assert sum(table.values()) == sum(p.numel() for p in network.parameters())
    assert set(table) == {"global_branch", "local_branch", "gate", "contrast", "bias"}
    with torch.inference_mode():
        work = multiply_accumulates(network, lambda: network(torch.zeros(1, 768), torch.zeros(1, 256, 768)))
    assert work == pytest.approx(2.31e9, rel=0.02)


def test_the_count_of_work_is_that_of_hand():
    network = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2))
    assert multiply_accumulates(network, lambda: network(torch.zeros(4, 3))) == 4 * (15 + 10)
