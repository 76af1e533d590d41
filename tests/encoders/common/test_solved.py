"""Encoders that are solved for each subject alone: what all of them refuse, and what they read again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness import plugins
from harness.api import DataError, SpaceMismatch
from harness.testing import toy_subject
from harness.testing.toys import FeaturesInMemory

SMALL = {
    "ridge": {"layers": ("rgb16",)},
    "stacked": {"backbone": "scenes@tiny", "layers": ("block1", "cls"), "alphas": (1.0, 100.0)},
    "fwrf": {"backbone": "scenes@tiny", "layers": ("block1",), "sizes": 1, "penalties": (1.0,)},
}
CPU = {"seed": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def subjects():
    return [toy_subject(name, n_train=24, n_test=4, side=16) for name in ("toy01", "toy02", "toy03")]


def encoder_of(name: str):
    plugin = plugins.find("encoders", name).load()
    return plugin(plugin.Params(**SMALL[name]))


@pytest.mark.parametrize("name", SMALL)
def test_another_subject_is_refused_and_can_be_added(name, subjects, tmp_path):
    encoder, features = encoder_of(name), FeaturesInMemory()
    first, second, third = subjects
    seeds = np.zeros((4, 1), np.uint64)
    with pytest.raises(SpaceMismatch, match=f"the {name} encoder is not fitted; call fit"):
        encoder.predict(first.test.stimuli, features, space=first.space, seeds=seeds)
    encoder.fit([first, second], features, **CPU, checkpoint_dir=tmp_path)
    with pytest.raises(
        SpaceMismatch, match="fitted on toy01, toy02, asked for toy03; fit or adapt it to toy03"
    ):
        encoder.predict(third.test.stimuli, features, space=third.space, seeds=seeds)
    before = encoder.predict(first.test.stimuli, features, space=first.space, seeds=seeds)
    encoder.adapt(third, features, **CPU, checkpoint_dir=tmp_path)
    encoder.save(tmp_path / "saved")
    again = type(encoder).load(tmp_path / "saved", encoder.params, device="cpu")
    assert again.predict(third.test.stimuli, features, space=third.space, seeds=seeds).any()
    assert np.array_equal(before, again.predict(first.test.stimuli, features, space=first.space, seeds=seeds))
    encoder.fit([third], features, **CPU, checkpoint_dir=tmp_path)
    with pytest.raises(SpaceMismatch, match="fitted on toy03, asked for toy01"):
        encoder.predict(first.test.stimuli, features, space=first.space, seeds=seeds)


@pytest.mark.parametrize("name", SMALL)
def test_a_wholly_masked_subject_and_an_empty_folder_are_refused(name, subjects, tmp_path):
    encoder, space = encoder_of(name), subjects[0].space
    masked = replace(subjects[0], space=replace(space, valid=np.zeros(space.n_voxels, bool)))
    with pytest.raises(DataError, match="every voxel of toy01 is masked"):
        encoder.fit([masked], FeaturesInMemory(), **CPU, checkpoint_dir=tmp_path)
    with pytest.raises(DataError, match=f"holds no {name} encoder; fit it again"):
        type(encoder).load(tmp_path, encoder.params, device="cpu")
