"""Several subjects through one bridge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from harness.decoders.mindbridge import network as bridge
from harness.decoders.mindbridge.decoder import TINY as BRIDGE
from harness.decoders.mindbridge.fitting import BridgeSet, BridgeTask, FitSettings


def test_a_bridge_of_two_subjects_learns_both_and_the_way_between_them():
    rng = np.random.default_rng(0)
    settings = replace(BRIDGE, pooled=40, hidden=32, image_tokens=2, text_tokens=2, token_dim=4)
    image, words = rng.standard_normal((2, 60, 2, 4)).astype(np.float32)
    code = np.concatenate([image.reshape(60, -1), words.reshape(60, -1)], 1)
    sets = {
        k: BridgeSet((code @ rng.standard_normal((16, 40))).astype(np.float32), np.arange(60), image, words)
        for k in (1, 2)
    }
    torch.manual_seed(0)
    network = bridge.MindBridgeNetwork([1, 2], settings)
    from harness.training import TrainingSettings, train

    task = BridgeTask(
        network, sets, FitSettings(epochs=40, batch=20, learning_rate=3e-3), seed=0, device="cpu"
    )
    losses = train(task, TrainingSettings("bridge", task.steps, seed=0, reseeded="step")).history
    assert losses[-1]["loss"] < 0.6 * losses[0]["loss"]
    assert losses[-1]["cycle"] < losses[0]["cycle"]
