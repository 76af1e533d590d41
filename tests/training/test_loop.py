"""The one training loop: resumed to the last bit wherever it is killed, stopped early, bounded, on curves."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.api import ConfigError, DataError
from harness.progress import listening
from harness.training import Losses, Task, TrainingSettings, WarmUpCosine, train

PER_EPOCH, STEPS = 3, 8  # the last epoch is cut short


class Killed(Exception):
    pass


class Regression(Task):
    """Eight noisy numbers through a layer with dropout: order, noise and dropout are all drawn."""

    steps_per_epoch = PER_EPOCH

    def __init__(self, *, killed_at: int = -1, validations: tuple[float, ...] = (), spoilt_at: int = -1):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 1))
            self.data = torch.randn(PER_EPOCH * 4, 4)
        self.killed_at, self.spoilt_at, self.taken = killed_at, spoilt_at, []
        self.validations, self.validated = validations, []
        self.rates = WarmUpCosine(0.05, 0.001, 2, STEPS)

    def optimizer(self):
        return torch.optim.AdamW(self.module.parameters(), lr=1.0)

    def schedule(self, step):
        return self.rates(step)

    def batches(self, epoch):
        return torch.randperm(len(self.data)).split(4)

    def loss(self, batch, step):
        if step.number == self.killed_at:
            raise Killed
        self.taken.append(step.number)
        x = self.data[batch]
        error = self.module(x + 0.1 * torch.randn_like(x)).float() - x.sum(1, keepdim=True)
        terms = {"mse": error.square().mean(), "absolute": error.abs().mean()}
        return Losses.summed(
            terms | ({"nan": torch.tensor(torch.nan)} if step.number == self.spoilt_at else {})
        )

    def validate(self):
        self.validated.append(weights(self.module))
        if self.validations:
            return self.validations[len(self.validated) - 1]
        assert not self.module.training
        return float((self.module(self.data) - self.data.sum(1, keepdim=True)).square().mean())


HOW = TrainingSettings("toy", STEPS, seed=3)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@settings(max_examples=25, deadline=None)
@given(
    killed_at=st.integers(0, STEPS - 1),
    every=st.integers(0, 4),
    reseeded=st.sampled_from(["epoch", "step"]),
    ema=st.sampled_from([0.0, 0.5]),
)
def test_a_training_killed_at_any_step_ends_in_the_same_weights(killed_at, every, reseeded, ema):
    how = replace(HOW, checkpoint_every=every, reseeded=reseeded, ema=ema, clip=1.0)
    whole, killed, resumed = Regression(), Regression(killed_at=killed_at), Regression()
    expected = train(whole, how)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "toy.safetensors"
        with pytest.raises(Killed):
            train(killed, how, checkpoint=file)
        torch.manual_seed(killed_at)  # the caller's generator has no say
        outcome = train(resumed, how, checkpoint=file)
        assert [f.name for f in sorted(Path(folder).iterdir())] == ["toy-curves.json", "toy.safetensors"]
    interval = every or PER_EPOCH
    assert resumed.taken[0] == killed_at // interval * interval
    assert same(weights(resumed.module), weights(whole.module))
    assert same(outcome.best, expected.best)
    assert same(outcome.averaged, expected.averaged)
    assert (outcome.history, outcome.losses) == (expected.history, expected.losses)


def test_a_finished_training_is_not_repeated(tmp_path):
    train(Regression(), HOW, checkpoint=tmp_path / "toy.safetensors")
    again = Regression()
    outcome = train(again, HOW, checkpoint=tmp_path / "toy.safetensors")
    assert again.taken == []
    assert outcome.step == STEPS


def test_the_seed_decides_and_the_callers_generator_stays():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, second, other = Regression(), Regression(), Regression()
    train(first, HOW)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    train(second, HOW)
    train(other, replace(HOW, seed=4))
    assert same(weights(first.module), weights(second.module))
    assert not same(weights(first.module), weights(other.module))


def test_it_stops_early_and_keeps_the_best_weights(tmp_path):
    task = Regression(validations=(3.0, 1.0, 2.0, 1.5, 0.1, 0.1))
    how = replace(HOW, steps=6 * PER_EPOCH, patience=2)
    outcome = train(task, how, checkpoint=tmp_path / "toy.safetensors")
    assert (outcome.epochs, outcome.best_epoch, outcome.best_value) == (4, 1, 1.0)
    assert same(outcome.best, task.validated[1])
    assert same(weights(task.module), task.validated[3])
    again = Regression()
    assert train(again, how, checkpoint=tmp_path / "toy.safetensors").epochs == 4
    assert again.taken == []


def test_without_a_finite_validation_the_last_weights_are_the_best(caplog):
    task = Regression(validations=(float("nan"),) * 3)
    assert same(train(task, HOW).best, weights(task.module))
    assert "no epoch had a finite validation loss" in caplog.text


def test_curves_are_means_of_epochs(tmp_path):
    task = Regression()
    outcome = train(task, HOW, checkpoint=tmp_path / "toy.safetensors")
    curves = json.loads((tmp_path / "toy-curves.json").read_text())
    assert curves == outcome.history
    assert [record["epoch"] for record in curves] == [1, 2, 3]
    assert all(record["mse"] + record["absolute"] == pytest.approx(record["loss"]) for record in curves)
    expected = [np.mean(outcome.losses[k : k + PER_EPOCH]) for k in (0, 3, 6)]
    np.testing.assert_allclose([record["loss"] for record in curves], expected)
    assert [record["lr"] for record in curves] == [task.rates(step)["lr"] for step in (2, 5, 7)]
    assert len(outcome.losses) == STEPS
    assert curves[-1]["validation"] == outcome.best_value or outcome.best_epoch < 2


def test_gradients_are_clipped_together():
    class Steep(Regression):
        def optimizer(self):
            return torch.optim.SGD(self.module.parameters(), lr=1.0)

        def schedule(self, step):
            return {"lr": 1.0}

        def loss(self, batch, step):
            loss = super().loss(batch, step)
            return Losses(1e4 * loss.total, loss.terms)

    task = Steep()
    before = nn.utils.parameters_to_vector(task.module.parameters()).clone()
    train(task, replace(HOW, steps=1, clip=0.25))
    moved = nn.utils.parameters_to_vector(task.module.parameters()) - before
    assert float(moved.detach().norm()) == pytest.approx(0.25, rel=1e-4)


def test_half_precision_computes_in_half_and_keeps_whole_weights():
    kinds = []

    class Watched(Regression):
        def loss(self, batch, step):
            kinds.append(self.module[0](self.data[batch]).dtype)
            return super().loss(batch, step)

    whole, half = Watched(), Watched()
    train(whole, HOW)
    outcome = train(half, replace(HOW, precision="bfloat16"))
    assert kinds == [torch.float32] * STEPS + [torch.bfloat16] * STEPS
    assert {p.dtype for p in half.module.parameters()} == {torch.float32}
    assert np.isfinite(outcome.losses).all()
    assert not same(weights(half.module), weights(whole.module))


def test_the_moving_average_is_validated_and_kept():
    class Steps(Regression):
        def loss(self, batch, step):
            history.append(weights(self.module))
            return super().loss(batch, step)

    history: list[dict[str, torch.Tensor]] = []
    task = Steps()
    outcome = train(task, replace(HOW, ema=0.9))
    history.append(weights(task.module))
    expected = history[0]["0.weight"]
    for each in history[1:]:
        expected = 0.9 * expected + 0.1 * each["0.weight"]
    torch.testing.assert_close(outcome.averaged["0.weight"], expected)
    assert same(task.validated[-1], outcome.averaged)
    assert not torch.equal(task.module[0].weight, outcome.averaged["0.weight"])
    assert int(outcome.averaged["1.num_batches_tracked"]) == STEPS


def test_a_loss_that_is_not_finite_stops_in_one_line(tmp_path):
    task = Regression(spoilt_at=4)
    with pytest.raises(DataError, match=r"^toy: the loss is not finite at step 4; lower the rate$"):
        train(task, replace(HOW, remedy="lower the rate"), checkpoint=tmp_path / "toy.safetensors")
    resumed = Regression()
    train(resumed, HOW, checkpoint=tmp_path / "toy.safetensors")  # with good data it goes on
    assert resumed.taken[0] == PER_EPOCH


@pytest.mark.parametrize("change", ["settings", "identity", "sizes", "torn", "not a checkpoint"])
def test_a_checkpoint_of_another_training_is_left_aside(tmp_path, change, caplog):
    file = tmp_path / "toy.safetensors"
    train(Regression(), HOW, checkpoint=file, identity="a")
    how, identity, expected = HOW, "a", "cannot be read"
    if change == "settings":
        how, expected = replace(HOW, clip=9.0), "belongs to another training"
    elif change == "identity":
        identity, expected = "b", "belongs to another training"
    elif change in ("torn", "not a checkpoint"):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if change == "torn" else b"{}" * 100)
    task = Regression()
    if change == "sizes":
        task.module[0], task.module[1] = nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6)
        expected = "belongs to another training"
    train(task, how, checkpoint=file, identity=identity)
    assert task.taken == list(range(STEPS))
    assert expected in caplog.text


@pytest.mark.parametrize(("shown", "total"), [("steps", STEPS), ("epochs", 3)])
def test_it_says_how_far_it_is(shown, total):
    heard = []
    with listening(lambda *words: heard.append(words)):
        train(Regression(), replace(HOW, shown=shown))
    assert heard == [(f"toy, {shown}", k, total) for k in range(total + 1)]


def test_impossible_settings_get_one_line():
    for wrong, match in (
        ({"steps": 0}, "at least 1"),
        ({"ema": 1.0}, "below 1"),
        ({"clip": -1.0}, "clip is -1"),
        ({"precision": "float16"}, "float32 or bfloat16"),
    ):
        with pytest.raises(ConfigError, match=match):
            replace(HOW, **wrong)
    task = Regression()
    task.steps_per_epoch = 2
    with pytest.raises(DataError, match="has 3 batches in epoch 1; expected 2"):
        train(task, HOW)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_killed_on_a_gpu_ends_in_the_same_weights(tmp_path, precision):
    class OnDevice(Regression):
        def __init__(self, **more):
            super().__init__(**more)
            self.module, self.data = self.module.cuda(), self.data.cuda()

    how = replace(HOW, checkpoint_every=1, precision=precision, ema=0.5)
    whole, killed, resumed = OnDevice(), OnDevice(killed_at=4), OnDevice()
    state = torch.cuda.get_rng_state()
    expected = train(whole, how, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), state)
    with pytest.raises(Killed):
        train(killed, how, device="cuda", checkpoint=tmp_path / "toy.safetensors")
    torch.manual_seed(4)
    outcome = train(resumed, how, device="cuda", checkpoint=tmp_path / "toy.safetensors")
    assert resumed.taken[0] == 4
    assert same(weights(resumed.module), weights(whole.module))
    assert same(outcome.best, expected.best)


@pytest.mark.slow
def test_two_processes_share_batches_and_end_in_equal_weights(tmp_path):
    """Two of them on this machine's CPU, as ``accelerate launch`` starts them, against one process."""
    import os
    import socket
    import subprocess
    import sys

    script = tmp_path / "shared.py"
    script.write_text(
        "import os, sys, torch\n"
        "from torch import nn\n"
        "from harness.training import Losses, Task, TrainingSettings, train\n"
        "class Plain(Task):\n"
        "    steps_per_epoch = 3\n"
        "    def __init__(self):\n"
        "        torch.manual_seed(int(os.environ.get('RANK', 0)))\n"
        "        self.module = nn.Linear(4, 1)\n"
        "        torch.manual_seed(9)\n"
        "        self.data = torch.randn(12, 4)\n"
        "    def batches(self, epoch):\n"
        "        return torch.randperm(12).split(4)\n"
        "    def part(self, batch, *, rank, world):\n"
        "        return batch[rank::world]\n"
        "    def loss(self, batch, step):\n"
        "        x = self.data[batch]\n"
        "        return Losses((self.module(x) - x.sum(1, keepdim=True)).square().mean())\n"
        "task = Plain()\n"
        "train(task, TrainingSettings('toy', 7, seed=1))\n"
        "torch.save(task.module.state_dict(), sys.argv[1] + os.environ.get('RANK', 'alone'))\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    own = [shared | {"RANK": str(k), "LOCAL_RANK": str(k)} for k in range(2)] + [{}]
    calls = [
        subprocess.Popen([sys.executable, script, str(tmp_path / "w")], env={**os.environ, **more})
        for more in own
    ]
    assert [call.wait(timeout=300) for call in calls] == [0, 0, 0]
    first, second, alone = (
        torch.load(tmp_path / f"w{name}", weights_only=True) for name in ("0", "1", "alone")
    )
    assert same(first, second)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value)


def test_without_a_validation_there_are_no_best_weights():
    class Unvalidated(Regression):
        def validate(self):
            return None

    outcome = train(Unvalidated(), HOW)
    assert outcome.best == {}
    assert all("validation" not in record for record in outcome.history)
