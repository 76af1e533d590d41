"""What half precision touches, and what it leaves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.nn.halving import DTYPES, cast, half_products, halve_products, safe_attention


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 8, 1), nn.Flatten(), nn.Linear(40, 16), nn.LayerNorm(16), nn.Linear(16, 3)
    )


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halved_products_are_autocast_in_half_the_memory(name):
    dtype, x = DTYPES[name], torch.randn(2, 4, 5)
    whole, halved = network(), halve_products(network(), dtype)
    kinds = {type(layer): next(layer.parameters()).dtype for layer in halved if [*layer.parameters()]}
    assert kinds == {nn.Conv1d: dtype, nn.Linear: dtype, nn.LayerNorm: torch.float32}
    with torch.no_grad(), half_products(torch.device("cpu"), dtype):
        assert torch.equal(whole(x), halved(x))
    with torch.no_grad():
        assert not torch.equal(whole(x), halved.float()(x))


def test_float32_stays_as_it_is():
    x = torch.randn(2, 4, 5)
    with torch.no_grad(), half_products(torch.device("cpu"), torch.float32):
        assert torch.equal(network()(x), halve_products(network(), torch.float32)(x))
    assert {p.dtype for p in cast(network(), torch.bfloat16).parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", DTYPES)
def test_attention_runs_in_every_precision_on_this_machine(name):
    x = torch.randn(1, 2, 40, 16).to(DTYPES[name])
    with safe_attention(torch.device("cpu"), x.dtype):
        mixed = nn.functional.scaled_dot_product_attention(x, x, x)
    expected = nn.functional.scaled_dot_product_attention(*[x.float()] * 3)
    torch.testing.assert_close(mixed.float(), expected, atol=2e-2, rtol=0)
