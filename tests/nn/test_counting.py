"""Operations, bytes and memory counted without computing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from harness.nn.counting import Count, count, weight_bytes


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, device="meta", dtype=dtype)


def test_products_bytes_and_memory_of_two_layers_are_those_counted_by_hand():
    with torch.device("meta"):
        layers = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    counted = count(layers, meta(4, 10))
    assert counted.operations == 2 * 4 * (10 * 20 + 20 * 5)
    weights = [10 * 20 + 20, 20 * 5 + 5]
    assert weight_bytes(layers) == 4 * sum(weights)
    # Each operator reads what it is given and writes what it makes.
    assert counted.traffic == 4 * (4 * 10 + weights[0] + 80 + 80 + 80 + 80 + weights[1] + 4 * 5)
    assert counted.working == 4 * (80 + 80)  # the ReLU's input and output; the first goes when it is read


def test_fused_attention_has_no_matrix_of_weights():
    query, key, value = meta(2, 3, 50, 8), meta(2, 3, 70, 8), meta(2, 3, 70, 4)
    counted = count(F.scaled_dot_product_attention, query, key, value)
    assert counted.operations == 2 * 2 * 3 * 50 * 70 * (8 + 4)
    assert counted.working == 2 * 3 * 50 * 4 * 4
    written_out = count(lambda: (query @ key.mT).softmax(-1) @ value)
    assert written_out.operations == counted.operations
    assert written_out.working > 10 * counted.working
    named = count(lambda: F.scaled_dot_product_attention(query=query, key=key, value=value))
    assert named == counted


def test_what_is_let_go_is_not_held_and_what_is_changed_in_place_is_not_new():
    x = meta(1000)

    def chain():
        y = x + 1
        for _ in range(20):
            y = y * 2
        y += 1
        return y.view(10, 100)

    assert count(chain).working == 2 * 4000
    assert count(lambda: [x + k for k in range(20)]).working == 20 * 4000


def test_counts_add_up():
    small, large = Count(3, 5, 7), Count(10, 20, 6)
    assert small.times(4) == Count(12, 20, 7)
    assert small.then(large) == Count(13, 25, 7)
    shared = nn.Linear(3, 3, bias=False)
    assert weight_bytes(nn.Sequential(shared, shared), shared) == 36
