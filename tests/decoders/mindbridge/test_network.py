"""Pooling; the network is that of the recorded pair."""

from __future__ import annotations

import pytest
import torch

from harness.api import ConfigError
from harness.decoders.mindbridge import network as bridge


def test_the_largest_of_a_window_is_pooled_before_repeats_are_averaged():
    trials = torch.tensor([[0.0, 4.0], [4.0, 0.0]])
    assert bridge.pool(trials, 1).mean() == 4
    with pytest.raises(ConfigError, match="choose max, avg or resize"):
        bridge.pool(trials, 1, kind="median")
