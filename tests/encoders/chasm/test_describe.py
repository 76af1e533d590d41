"""Sizes and work of CHASMBrain's networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from harness.encoders.chasm.clusters import Clusters, even_runs
from harness.encoders.chasm.describe import parameter_table
from harness.encoders.chasm.params import ChasmParams
from harness.encoders.chasm.stage1 import Stage1
from harness.nn.mamba2 import Mamba2


def multiply_accumulates(module: nn.Module, call: Callable[[], object]) -> int:
    """Multiply-accumulates of all linear maps and convolutions during `call`, scans excluded."""
    with _counting(module) as counts:
        call()
    return sum(counts)


@contextmanager
def _counting(module: nn.Module) -> Iterator[list[int]]:
    counts: list[int] = []

    def linear(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts.append(output.numel() * layer.in_features)

    def mamba(layer: Mamba2, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts.append(output.shape[:-1].numel() * layer.conv_dim * layer.d_conv)

    handles = []
    for child in module.modules():
        if isinstance(child, nn.Linear):
            handles.append(child.register_forward_hook(linear))
        elif isinstance(child, Mamba2):
            handles.append(child.register_forward_hook(mamba))
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


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
