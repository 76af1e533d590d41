"""Schedules and decay of MindEye2's training, and the public code's slips."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from harness.api import ConfigError
from harness.decoders.mindeye2 import schedule


def test_the_temperature_rises_along_half_a_cosine_after_a_third():
    temperatures = [schedule.soft_temperature(epoch, 150) for epoch in range(150)]
    assert schedule.mixco_epochs(150) == 49
    assert temperatures[:49] == [None] * 49
    steps = 150 - 49
    expected = 0.0075 + (0.004 - 0.0075) / 2 * (1 + np.cos(np.pi * np.arange(steps) / (steps - 1)))
    np.testing.assert_allclose(np.array(temperatures[49:], float), expected, rtol=1e-9)
    assert temperatures[49] == pytest.approx(0.004)
    assert temperatures[-1] == pytest.approx(0.0075)
    assert schedule.soft_temperature(0, 1) == pytest.approx(0.004)


class Parts(nn.Module):
    """The three parts whose parameters the optimiser groups."""

    def __init__(self):
        super().__init__()
        self.ridge, self.backbone = nn.Linear(3, 2), nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2))
        net = nn.Module()
        net.rel_pos_bias, net.project_out = nn.Embedding(4, 2), nn.Linear(2, 2, bias=False)
        self.diffusion_prior = SimpleNamespace(net=net)


def test_ridge_biases_decay_and_other_biases_do_not():
    parts = Parts()
    optimizer = schedule.build_optimizer(parts)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    net = parts.diffusion_prior.net
    for parameter, expected in (
        (parts.ridge.weight, 0.01),
        (parts.ridge.bias, 0.01),
        (parts.backbone[0].weight, 0.01),  # a norm's gain is decayed: the public filter never matches
        (parts.backbone[0].bias, 0.0),
        (parts.backbone[1].weight, 0.01),
        (parts.backbone[1].bias, 0.0),
        (net.rel_pos_bias.weight, 0.0),  # spared for its name
        (net.project_out.weight, 0.01),
    ):
        assert decay[id(parameter)] == expected
    assert len(decay) == 8


def test_one_cycle_rises_for_two_epochs_and_falls_to_a_25000th():
    epochs, per_epoch = 10, 20
    rates = schedule.rates(steps=epochs * per_epoch, epochs=epochs)
    values = [rates(step) for step in range(epochs * per_epoch)]
    rate = np.array([each["lr"] for each in values])
    beta = np.array([each["betas"][0] for each in values])
    peak = 2 / epochs * epochs * per_epoch - 1
    assert rate[0] == pytest.approx(1.2e-5)
    assert rate[int(peak)] == pytest.approx(3e-4)
    assert rate[-1] == pytest.approx(1.2e-8)
    assert rate[20] == pytest.approx(1.2e-5 + (3e-4 - 1.2e-5) / 2 * (1 - math.cos(math.pi * 20 / peak)))
    assert beta.min() == pytest.approx(0.85)
    assert beta.max() == pytest.approx(0.95)
    with pytest.raises(ConfigError, match="give at least 3"):
        schedule.rates(steps=10, epochs=2)
