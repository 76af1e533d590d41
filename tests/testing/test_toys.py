"""Toy subjects of the conformance kit."""

from __future__ import annotations

from kit_reports import small

from harness.api import Responses, VoxelSpace


def test_toys_differ_in_voxels_and_are_equal_twice():
    first, *others = small()
    assert first.space.n_voxels not in {subject.space.n_voxels for subject in others}
    again = small()[0]
    assert again.train.stimuli.sha == first.train.stimuli.sha
    assert again.train.responses.sha == first.train.responses.sha
    assert isinstance(again.space, VoxelSpace)
    assert isinstance(again.truth, Responses)
    assert set(again.train.responses.counts()) == {1, 2, 3}
