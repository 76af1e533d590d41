"""How CHASMBrain is trained: batches, rates, early stopping."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.encoders.chasm import training
from harness.encoders.chasm.training import Schedule
from harness.encoders.common.batching import batch_count, batches


def test_training_stops_early_and_keeps_the_best_weights(tmp_path):
    module = torch.nn.Linear(1, 1)
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    seen = []

    def validate() -> float:
        seen.append(module.weight.detach().clone())
        return next(values)

    problem = training.Problem(
        [np.arange(4)],
        lambda s, items, epoch: {"mse": module(items[:, None].float()).square().mean()},
        validate,
    )
    schedule = Schedule(
        epochs=6, batch=2, rate=0.1, final_rate=0.0, warmup_epochs=1, weight_decay=0.0, clip=1.0, patience=2
    )
    done = training.fit(
        module,
        problem,
        schedule,
        seed=0,
        device="cpu",
        checkpoint=tmp_path / "x.safetensors",
        fingerprint="f",
    )
    assert (done.epochs, done.best_epoch, done.best_value) == (4, 1, 1.0)
    assert torch.equal(done.best["weight"], seen[1])
    assert torch.equal(module.weight, seen[3])


def test_the_rate_warms_up_and_falls_along_a_cosine():
    schedule = Schedule(
        epochs=11, batch=2, rate=1.0, final_rate=0.1, warmup_epochs=1, weight_decay=0.0, clip=1.0, patience=2
    )
    rates = [schedule.rates(10)(step)["lr"] for step in range(110)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[60] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert (np.diff(rates[10:]) < 0).all()


def test_batches_hold_one_subject_and_every_item_once():
    items = [np.arange(10, 17), np.arange(50, 55)]
    torch.manual_seed(0)
    parts = list(batches(items, 3))
    for subject_number, part in parts:
        assert set(part.tolist()) <= set(items[subject_number].tolist())
        assert len(part) > 1
    drawn = sorted(item for _, part in parts for item in part.tolist())
    assert len(drawn) == 11  # seven in threes leave one behind
    for counts in ([7, 5], [1, 6], [4], [2, 1]):
        items = [np.arange(count) for count in counts]
        assert batch_count(counts, 3) == len(list(batches(items, 3)))
    assert len(set(drawn)) == 11
