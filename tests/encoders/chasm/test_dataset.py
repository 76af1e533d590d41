"""What ``chasm`` is trained on: images held out, copies, masks, shapes of layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from chasm_subjects import encoder, fitted, subject

from harness.api import (
    ConfigError,
    DataError,
    Responses,
    Split,
    Stimuli,
    SubjectData,
)
from harness.encoders.common.training_data import training_set, validation_images


def test_copies_of_an_image_are_on_one_side_of_the_validation_split():
    """Under other ids and with trials of their own; without copies the share is that of images."""
    data, params = subject(), encoder().params
    stimuli, responses = data.train.stimuli, data.train.responses
    ids = [*stimuli.ids, *(f"again-{name}" for name in stimuli.ids)]
    images, patterns = np.concatenate([stimuli.images()] * 2), np.concatenate([responses.mean()] * 2)
    doubled = Split(Stimuli.from_array(ids, images), Responses.single(data.space, ids, patterns))
    held = validation_images([replace(data, train=doubled)], 0.1, seed=0)
    assert held == validation_images([data], 0.1, seed=0)
    items = training_set(replace(data, train=doubled), train_on=params.train_on, held_out=held)
    out = items.held_out
    assert np.array_equal(out[: len(stimuli)], out[len(stimuli) :])
    assert out.sum() == 2 * len(held)


def test_validation_images_are_the_same_for_all_who_saw_them():
    first, second = subject("s1"), subject("s22")  # the same images under other ids
    held = validation_images([first, second], 0.1, seed=0)
    assert held == validation_images([second], 0.1, seed=0)
    assert len(held) == 9
    assert held != validation_images([first], 0.1, seed=1)
    assert held <= set(first.train.stimuli.image_hashes())
    assert not held & set(first.test.stimuli.image_hashes())


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 training images, too few to hold some out"):
        fitted(tmp_path, subject(n=1))


def test_a_wholly_masked_subject_is_refused(tmp_path):
    data = subject()
    space = replace(data.space, valid=np.zeros(24, bool))
    responses = Responses(space, data.train.responses.ids, data.train.responses.data, np.repeat(range(90), 2))
    with pytest.raises(DataError, match="every voxel of s1 is masked"):
        fitted(tmp_path, SubjectData(space, Split(data.train.stimuli, responses), None))


def test_layers_of_the_wrong_shape_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"layer 'pixels' of backbone 'toy' has shape \(90, 4, 4, 3\)"):
        fitted(tmp_path, subject(), patch_layer="pixels")
    with pytest.raises(ConfigError, match=r"expected \(images, features\)"):
        fitted(tmp_path, subject(), cls_layer="patches")
