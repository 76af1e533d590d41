"""How the small networks are trained: resumed, as their logs say, with losses that reach every part."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_logs import NAMES, log_of

from harness.backbones.tiny import backbone as module
from harness.backbones.tiny.backbone import read_weights


@pytest.fixture
def small(tmp_path):
    """(settings, build) of a training of seconds."""
    from harness.backbones.tiny import train_inception

    settings = replace(train_inception.SETTINGS, scenes=48, steps=6, batch=16, held_out=60)
    return settings, train_inception.build


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(small, tmp_path, monkeypatch):
    from harness.backbones.tiny import train_loop

    settings, build = small
    monkeypatch.setattr(train_loop, "CHECKPOINT_EVERY", 2)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    whole = train_loop.train(settings, build, out=tmp_path / "one", cache=tmp_path / "cache-one")

    class Killed(Exception):
        pass

    def fragile():
        task = build()
        loss, calls = task.loss, []

        def counted(*given):
            calls.append(1)
            if len(calls) == 4:
                raise Killed
            return loss(*given)

        task.loss = counted
        return task

    with pytest.raises(Killed):
        train_loop.train(settings, fragile, out=tmp_path / "two", cache=tmp_path / "cache-two")
    assert not list((tmp_path / "two").iterdir())
    resumed = train_loop.train(settings, build, out=tmp_path / "two", cache=tmp_path / "cache-two")
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert resumed["loss_by_tenth"] == whole["loss_by_tenth"]
    stored = read_weights(tmp_path / "two" / "inception.safetensors")
    assert {v.dtype for v in stored.values() if v.is_floating_point()} == {torch.float32}
    other = train_loop.train(
        replace(settings, seed=1), build, out=tmp_path / "two", cache=tmp_path / "cache-two"
    )
    assert other["weights_sha256"] != whole["weights_sha256"]


def test_the_committed_settings_are_those_of_the_logs():
    for name in NAMES:
        script = importlib.import_module(f"harness.backbones.tiny.train_{name}")
        log = log_of(name)
        for key in ("name", "namespace", "seed", "scenes", "steps", "batch", "rate", "decay", "warmup"):
            assert getattr(script.SETTINGS, key) == log[key], (name, key)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_reaches_every_parameter_of_its_network(name, fresh):
    script = importlib.import_module(f"harness.backbones.tiny.train_{name}")
    torch.manual_seed(0)
    task = script.build()
    task.train()
    loss = task.loss(fresh, np.arange(24), torch.Generator().manual_seed(0))
    loss.backward()
    assert torch.isfinite(loss)
    without = [n for n, p in task.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A key's bias moves all of a query's scores alike, so its gradient is rounding; what no output
    # reads (the last block's patch tokens) still passes through attention.
    assert not without


def test_area_under_curve_equals_scikit_learn():
    from sklearn.metrics import roc_auc_score

    from harness.backbones.tiny.train_attributes import area_under_curve

    generator = np.random.default_rng(0)
    scores, truth = generator.integers(0, 9, (80, 3)), generator.integers(0, 2, (80, 3))
    expected = roc_auc_score(truth, scores, average="macro")
    assert abs(area_under_curve(scores, truth) - expected) < 1e-12


def test_layout_names_the_nearest_object_over_each_patch(fresh):
    from harness.benchmarks.scenes import CATEGORIES

    for cells, scene in zip(fresh.layout[:200], fresh.scenes):
        front = max(scene.objects, key=lambda item: item.order)
        assert cells[min(front.y // 8, 7), min(front.x // 8, 7)] == CATEGORIES.index(front.category)
    assert 0.4 < (fresh.layout == len(CATEGORIES)).mean() < 0.9


def test_balanced_assignments_are_balanced_and_follow_scores():
    from harness.backbones.tiny.train_selfsupervised import balanced

    torch.manual_seed(0)
    scores = 0.3 * torch.randn(200, 10)
    scores[:, 0] += 0.5  # everyone's favourite
    shares = balanced(scores, rounds=50)
    torch.testing.assert_close(shares.sum(1), torch.ones(200))
    torch.testing.assert_close(shares.sum(0), torch.full((10,), 20.0), atol=0.2, rtol=0)
    assert (shares.argmax(1) == 0).float().mean() < 0.3
    # What scaling of rows and columns leaves of exp(scores / 0.05): the interaction.
    left = shares.log() - scores / 0.05
    left = left - left.mean(0) - left.mean(1, keepdim=True) + left.mean()
    assert left.abs().max() < 1e-3


def test_vicreg_is_lowest_for_views_that_agree_and_do_not_collapse():
    from harness.backbones.tiny.train_dinov2 import build

    agreement = build().agreement
    torch.manual_seed(0)
    good = torch.randn(256, 8)
    values = {
        "alike": agreement(good, good),
        "apart": agreement(good, torch.randn(256, 8)),
        "collapsed": agreement(good * 0, good * 0),
        "redundant": agreement(good[:, :1].expand(-1, 8), good[:, :1].expand(-1, 8)),
    }
    assert all(values["alike"] < values[name] for name in ("apart", "collapsed", "redundant"))
    assert abs(values["collapsed"] - 25 * (1 - 0.01)) < 1e-3


def test_views_and_degraded_images_are_seeded(fresh):
    from harness.backbones.tiny.train_attributes import degraded
    from harness.backbones.tiny.train_selfsupervised import view

    x = module.normalised(fresh.images[:8])
    first, again, other = (view(x, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert first.shape == x.shape
    assert (first - other).abs().mean() > 0.05
    assert degraded(x, 0.0, torch.Generator()) is x
    worse = degraded(x, 1.0, torch.Generator().manual_seed(0))
    assert (worse != x).flatten(1).any(1).all()
