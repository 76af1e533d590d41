"""Captions of a file in place of a decoder: matched by id, complete, one of each image."""

from __future__ import annotations

import json

import pytest

from harness.errors import DataError
from harness.stages.given_captions import GivenCaptions

IDS = ("0010", "0020", "0030")


@pytest.fixture
def given(tmp_path):
    """``given(content)``: the captions of a file with this JSON."""

    def write(content) -> GivenCaptions:
        (tmp_path / "words.json").write_text(json.dumps(content))
        return GivenCaptions.asked(f"captions:{tmp_path / 'words.json'}")

    return write


def test_another_word_names_no_file():
    assert GivenCaptions.asked("linear") is None
    assert GivenCaptions.asked("folder:recons") is None


def test_captions_are_matched_by_id_and_others_left_out(given):
    captions = given({"0030": "a cat", "0010": "a tree", "0020": "a boat", "0099": "left out"})
    assert captions.of(IDS) == {"0010": "a tree", "0020": "a boat", "0030": "a cat"}
    assert list(captions.of(IDS)) == list(IDS)


def test_padding_of_numbers_is_no_other_id(given):
    captions = given([{"image_id": 10, "caption": "a"}, {"image_id": 20, "caption": "b"}])
    assert captions.of(IDS[:2]) == {"0010": "a", "0020": "b"}


def test_missing_captions_are_named_with_what_to_type(given):
    captions = given({"0010": "a tree", "0030": "a cat"})
    with pytest.raises(
        DataError, match=r"lacks captions of 1 of 3 test images \(0020\).*add --allow-missing"
    ):
        captions.of(IDS)
    assert captions.present(IDS) == ("0010", "0030")


def test_none_of_all_is_refused_either_way(given):
    captions = given({"x": "a tree"})
    with pytest.raises(DataError, match="lacks captions of 3 of 3") as refused:
        captions.of(IDS)
    assert "--allow-missing" not in str(refused.value)
    with pytest.raises(DataError, match=r"no test image has a caption: .* ids such as x; expected .* 0010"):
        captions.present(IDS)


def test_a_decoder_gives_one_caption_of_each_image(given):
    with pytest.raises(DataError, match="has 2 captions of image '0010'; a decoder's file has one"):
        given({"0010": ["a tree", "an oak"], "0020": "a boat"})
