"""Stages of a training: how long an epoch is, and by which voxels a training is validated."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from torch import nn

from harness.encoders.common.inputs import Inputs
from harness.encoders.common.stages import Batch, Stage, StageTask
from harness.encoders.common.training_data import TrainingSet, VoxelScale


def task(steps: int) -> StageTask:
    """Ten items of one subject in batches of four, two more to validate."""
    voxels = torch.zeros(12, 3)
    scale = VoxelScale(np.zeros(3, np.float32), np.ones(3, np.float32))
    items = TrainingSet(np.arange(12), voxels, scale, np.arange(12) >= 10)
    stage = Stage("all", nn.Linear(1, 1), lambda batch: {}, epochs=2, batch=4, rate=0.1, steps=steps)
    return StageTask(stage, [items], [Inputs({}, {})], "cpu")


def test_an_epoch_is_one_pass_over_the_items():
    trained = task(steps=0)
    parts = [items.tolist() for _, items in trained.batches(0)]
    assert len(parts) == trained.steps_per_epoch == 3
    assert sorted(chain(*parts)) == list(range(10))


def test_an_epoch_of_more_steps_goes_over_the_items_again_and_one_of_fewer_ends_before():
    parts = [items.tolist() for _, items in task(steps=8).batches(0)]
    assert len(parts) == task(steps=8).steps_per_epoch == 8
    assert sorted(chain(*parts[:3])) == sorted(chain(*parts[3:6])) == list(range(10))
    assert len(task(steps=2).batches(0)) == task(steps=2).steps_per_epoch == 2


def test_validation_sees_voxels_from_one_end_of_the_volume_to_the_other():
    def batch(training):
        return Batch(0, {}, torch.zeros(2, 1000), 0, 1, training)

    assert batch(False).some_voxels(5).tolist() == [0, 250, 500, 749, 999]
    assert batch(False).some_voxels(2000).tolist() == list(range(1000))
    drawn = batch(True).some_voxels(5)
    assert len(set(drawn.tolist())) == 5
