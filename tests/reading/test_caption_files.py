"""Captions of images in JSON: the forms that people have, and what is refused."""

from __future__ import annotations

import pytest

from harness.errors import DataError
from harness.reading.caption_files import read_captions


def written(folder, text):
    file = folder / "captions.json"
    file.write_text(text)
    return file


FORMS = {
    '{"7": "a cat", "x.png": ["a dog", "two"]}': {"7": ("a cat",), "x.png": ("a dog", "two")},
    '[{"image_id": 7, "caption": "a cat"}, {"image_id": 7, "caption": "b"}]': {"7": ("a cat", "b")},
    '{"images": [], "annotations": [{"image_id": 3, "id": 1, "caption": "c"}]}': {"3": ("c",)},
    '{"1": ""}': {"1": ("",)},  # a decoder may have said nothing
}


@pytest.mark.parametrize("text", FORMS)
def test_forms(tmp_path, text):
    assert read_captions(written(tmp_path, text)) == FORMS[text]


WRONG = {
    "{": "no JSON that can be read",
    "[" * 100_000: "no JSON that can be read",
    "{}": "holds no captions",
    "[]": "holds no captions",
    "3": "holds int",
    '{"a": "x", "a": "y"}': "the id 'a' occurs more than once",
    '{"": "x"}': "has no id",
    '{"a": 3}': "image 'a' has 3 for a caption",
    '{"a": []}': "image 'a' has nothing for a caption",
    '{"a": ["x", null]}': "for a caption",
    '{"a": {"b": "c"}}': "image 'a' has an object for a caption",
    '[{"image_id": 1}]': "entry 0 .* has no image_id and caption",
    '["a cat"]': "entry 0",
    '[{"image_id": true, "caption": "x"}]': "neither text nor a number",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused(tmp_path, text):
    with pytest.raises(DataError, match=WRONG[text]) as problem:
        read_captions(written(tmp_path, text))
    assert "\n" not in str(problem.value)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_captions(tmp_path / "absent.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_captions(tmp_path / "bytes.json")
