"""Fitting ``chasm``: seeds, resuming, several subjects, every ablation, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from chasm_subjects import fitted, predict, saved, subject

from harness.api import (
    DataError,
    Responses,
    Split,
)
from harness.encoders.chasm import ChasmEncoder
from harness.encoders.chasm.training import StageTask


def test_the_seed_decides_and_nothing_else(tmp_path):
    data = subject()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = predict(fitted(tmp_path / "a", data), data)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    assert (predict(fitted(tmp_path / "b", data), data) == first).all()
    assert (predict(fitted(tmp_path / "c", data, seed=1), data) != first).any()


class Killed(Exception):
    pass


@pytest.mark.parametrize("saves", [1, 2, 4, 5])
def test_a_killed_training_ends_in_the_same_weights(tmp_path, monkeypatch, saves):
    data, epochs = subject(), {"stage1_epochs": 3, "stage2_epochs": 3}
    whole = fitted(tmp_path / "whole", data, **epochs)
    original, begun = StageTask.batches, []

    def dies(task, epoch):
        begun.append(epoch)
        if len(begun) == saves + 1:
            raise Killed
        return original(task, epoch)

    monkeypatch.setattr(StageTask, "batches", dies)
    with pytest.raises(Killed):
        fitted(tmp_path / "torn", data, **epochs)
    begun.clear()
    monkeypatch.setattr(
        StageTask, "batches", lambda task, epoch: begun.append(epoch) or original(task, epoch)
    )
    resumed = fitted(tmp_path / "torn", data, **epochs)
    assert len(begun) == 6 - saves
    for stage in ("stage1", "stage2"):
        expected = getattr(whole.model, stage).state_dict()
        for name, value in getattr(resumed.model, stage).state_dict().items():
            assert torch.equal(value, expected[name]), name
    assert resumed.history == whole.history
    assert all(torch.equal(value, resumed._last[name]) for name, value in whole._last.items())


def test_checkpoints_of_another_training_or_torn_ones_are_left_aside(tmp_path, caplog):
    data = subject()
    expected = predict(fitted(tmp_path / "clean", data), data)
    fitted(tmp_path / "used", data, topk=0.9)
    with caplog.at_level("WARNING"):
        assert (predict(fitted(tmp_path / "used", data), data) == expected).all()
    assert "belongs to another training" in caplog.text
    file = tmp_path / "used" / "stage1.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with caplog.at_level("WARNING"):
        assert (predict(fitted(tmp_path / "used", data), data) == expected).all()
    assert "cannot be read" in caplog.text
    assert not list((tmp_path / "used").glob("*.tmp"))


def test_a_loss_that_is_not_finite_says_what_to_type(tmp_path):
    data = subject()
    spoilt = data.train.responses.trials().copy()
    spoilt[3, 2] = np.nan
    responses = data.train.responses
    train = Split(data.train.stimuli, Responses(data.space, responses.ids, spoilt, responses.image_index))
    with pytest.raises(DataError, match=r"^stage1: .*not finite.*--set encoder\.stage1_rate=\S+$"):
        fitted(tmp_path, replace(data, train=train))


def test_several_subjects_share_the_trunk_and_keep_their_own_maps(tmp_path):
    first, second = subject("s1"), subject("s22", voxels=17)
    shared = fitted(tmp_path, first, second)
    assert predict(shared, first).shape == (40, 1, 24)
    assert predict(shared, second).shape == (40, 1, 17)
    names = [name for name, _ in shared.model.stage1.named_parameters()]
    assert sum("global_branch.heads." in name for name in names) == 2
    assert sum("global_branch.project.weight" in name for name in names) == 1
    shared.save(tmp_path / "saved")
    again = ChasmEncoder.load(tmp_path / "saved", shared.params, device="cpu")
    assert (predict(again, second) == predict(shared, second)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"stage1_arch": "single_mamba"},
        {"stage1_arch": "transformer"},
        {"stage2_refiner": "mlp"},
        {"stage2_refiner": "dual"},
        {"stage2_refiner": "dual_diff"},
        {"train_on": "trials"},
        {"cluster_size": 10},
        {"topk": 1.0},
        {"weights": "last"},
    ],
)
def test_every_ablation_trains_predicts_and_differs(tmp_path, change):
    data = subject(n=40)
    ablated = fitted(tmp_path, data, **change)
    predicted = predict(ablated, data)
    assert np.isfinite(predicted).all()
    again = ChasmEncoder.load(saved(ablated, tmp_path / "saved"), ablated.params, device="cpu")
    assert (predict(again, data) == predicted).all()
    if change != {"weights": "last"}:
        assert (predicted != predict(fitted(tmp_path / "plain", data), data)).any()
