"""Data come back as they were sent, as plain arrays and JSON."""

from __future__ import annotations

import numpy as np

from harness.api import Decoded, Responses, Split, Stimuli, SubjectData, VoxelSpace
from harness.exchange import (
    read_decoded,
    read_responses,
    read_subject,
    write_decoded,
    write_responses,
    write_subject,
)

VALID = np.array([True, False, True, True])
SPACE = VoxelSpace(
    "toy", "s1", "all", 4, "zscore", "x", rois={"V1": VALID}, groups={"early": ~VALID}, ncsnr=np.arange(4.0),
    coordinates=np.eye(4)[:, :3], valid=VALID, vertices=np.arange(4), template="mni152",
)  # fmt: skip


def responses() -> Responses:
    trials = np.arange(12, dtype=np.float32).reshape(3, 4)
    return Responses(SPACE, ["b", "a"], trials, np.array([1, 0, 1]), session=np.array([1, 1, 2]))


def test_responses_keep_space_ids_order_and_sessions(tmp_path):
    write_responses(tmp_path, responses())
    back = read_responses(tmp_path)
    assert back.sha == responses().sha
    assert back.space.sha == SPACE.sha
    for name in ("ncsnr", "coordinates", "valid", "vertices", "template"):
        np.testing.assert_array_equal(getattr(back.space, name), getattr(SPACE, name))
    np.testing.assert_array_equal(back.space.rois["V1"], VALID)
    np.testing.assert_array_equal(back.space.groups["early"], ~VALID)
    np.testing.assert_array_equal(back.trial_number, responses().trial_number)


def test_a_subject_keeps_images_and_every_caption_and_no_test(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3)).astype(np.uint8)
    for captions in (None, ["one", "two"], [["one", "uno"], ["two"]]):
        stimuli = Stimuli.from_array(["b", "a"], images, captions=captions)
        write_subject(tmp_path, SubjectData(SPACE, Split(stimuli, responses()), None))
        back = read_subject(tmp_path)
        np.testing.assert_array_equal(back.train.stimuli.images(), images)
        assert back.train.stimuli.references == stimuli.references
        assert back.train.responses.sha == responses().sha
        assert back.test is None


def test_what_was_decoded_keeps_its_types_and_what_was_not_is_none(tmp_path):
    images = np.zeros((2, 1, 3, 3, 3), np.float16)
    write_decoded(tmp_path, Decoded(images, embedding=np.ones((2, 4)), caption=("a", "b")))
    back = read_decoded(tmp_path)
    assert back.images.dtype == np.float16
    np.testing.assert_array_equal(back.embedding, np.ones((2, 4)))
    assert back.caption == ("a", "b")
    assert back.low_level is None
    (tmp_path / "other").mkdir()
    write_decoded(tmp_path / "other", Decoded(images))
    assert read_decoded(tmp_path / "other").caption is None
