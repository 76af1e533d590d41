"""Ids: one rule for what counts as one, and for when two of them name the same image."""

from __future__ import annotations

import codecs
import unicodedata

import numpy as np
import pytest

from harness.errors import DataError, quoted, visible
from harness.reading.ids import as_id, as_ids, match_ids, nearest_id, require_ids
from harness.reading.texts import read_lines, read_text


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("cat", "cat"),
        (b"cat\0\0", "cat"),
        (np.bytes_(b"cat  "), "cat"),
        (np.str_("\ufeffcat "), "cat"),
        (unicodedata.normalize("NFD", "café"), "café"),
        (7, "7"),
        (np.uint16(7), "7"),
        (7.0, "7"),
        (np.float32(7), "7"),
        (1518878.010040, "1518878.010040"),
        (np.float64(1518878.00101), "1518878.001010"),
        (np.float32(0.1), "0.100000"),
        ("1518878.01004", "1518878.01004"),
    ],
)
def test_an_id_is_text(value, name):
    assert as_id(value) == name


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.pi, "more than the six decimals"),
        (np.nan, "nan is no id"),
        (np.float32(2**24 + 2), "too large for float32"),
        (2.0**60, "too large for float64"),
        (True, "neither text nor a number"),
        (None, "neither text nor a number"),
        ([1], "neither text nor a number"),
        (b"\xff\xfe\xfa", "is not UTF-8"),
    ],
)
def test_what_is_no_id_says_what_to_type(value, message):
    with pytest.raises(DataError, match=rf"ia, entry 1 \(from 0\): .*{message}.*numpy\.array\(ids, str\)"):
        as_ids(["a", value], what="ia")


def test_empty_and_doubled_ids_are_refused():
    require_ids(["a", "b"], what="ia")
    require_ids(["a", "a"], what="ia", unique=False)
    with pytest.raises(DataError, match=r"ia has no id in 1 places, the first at entry 1"):
        require_ids(["a", ""], what="ia")
    with pytest.raises(DataError, match="ia: the id 'a' occurs more than once"):
        require_ids(["a", "a"], what="ia")


NFD = unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(
    ("wanted", "held", "matched"),
    [
        (["a", "b"], ["b", "a", "c"], {"a": "a", "b": "b"}),
        (["café"], [f"{NFD}.png"], {"café": f"{NFD}.png"}),
        (["n1_16.JPEG"], ["n1_16.png"], {"n1_16.JPEG": "n1_16.png"}),
        (["n1_16.JPEG"], ["n1_16.JPEG.png", "n1_16.bmp"], {"n1_16.JPEG": "n1_16.JPEG.png"}),
        (["n1_16.JPEG"], ["n1_16"], {"n1_16.JPEG": "n1_16"}),
        (["n1_16"], ["n1_16.JPEG"], {"n1_16": "n1_16.JPEG"}),
        (["1518878.010040"], ["1518878.010040.JPEG"], {"1518878.010040": "1518878.010040.JPEG"}),
        (["1518878.01004"], ["1518878.010040"], {"1518878.01004": "1518878.010040"}),
        (["0010"], ["10", "8"], {"0010": "10"}),
        (["10"], ["0010.png", "0008.png"], {"10": "0010.png"}),
        (["im/cat.png"], ["cat"], {"im/cat.png": "cat"}),
        (["cat"], ["im/cat.png"], {"cat": "im/cat.png"}),
        (["im\\cat.png"], ["im/cat.jpg"], {"im\\cat.png": "im/cat.jpg"}),
        # Ambiguous, or another image: nothing is joined.
        (["a.png", "a.jpg"], ["a.jpg"], {"a.jpg": "a.jpg"}),
        (["10", "010"], ["0010"], {}),
        (["10"], ["010", "0010"], {}),
        (["1.10"], ["1.1"], {}),
        (["1.1", "1.10"], ["1.100000"], {}),
        (["cat/1", "dog/1"], ["1"], {}),
        (["1"], ["cat/1.png", "dog/1.png"], {}),
        (["cat/1"], ["dog/1.png", "cat/2.png"], {}),
        (["a.v1"], ["a.v2"], {}),
        (["A"], ["a"], {}),
    ],
)
def test_ids_are_joined_where_only_one_image_can_be_meant(wanted, held, matched):
    assert match_ids(wanted, held, what="im") == matched
    assert match_ids(reversed(wanted), reversed(held), what="im") == matched


@pytest.mark.parametrize(
    ("wanted", "held", "message"),
    [
        (["a"], ["a.jpg", "a.png"], r"im holds 'a\.jpg' and 'a\.png' for the id 'a'; keep one"),
        (
            ["a.jpg", "a.png"],
            ["a"],
            r"im holds only 'a' for the ids 'a\.jpg' and 'a\.png'; give each its own",
        ),
        (["é"], [unicodedata.normalize("NFD", "é"), "é.png"], None),
        (["x.JPEG"], ["x.png", "x.bmp"], r"im holds 'x\.png' and 'x\.bmp' for the id 'x\.JPEG'"),
    ],
)
def test_an_ending_alone_tells_no_images_apart(wanted, held, message):
    if message is None:  # one is equal but for its accents, which comes before endings
        assert match_ids(wanted, held, what="im") == {wanted[0]: held[0]}
        return
    with pytest.raises(DataError, match=message):
        match_ids(wanted, held, what="im")


def test_a_held_name_is_given_away_once():
    assert match_ids(["a", "a.png"], ["a"], what="im") == {"a": "a"}
    assert nearest_id("tset-01", ["test-01", "x"]) == "test-01"
    assert nearest_id("q", ["test-01"]) == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_are_read_as_any_editor_saves_them(tmp_path, encoding, end):
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    text = end.join(["café", "b c", "", "d", "", ""])
    (tmp_path / "ids.txt").write_bytes(marks.get(encoding, b"") + text.encode(encoding))
    assert read_lines(tmp_path / "ids.txt") == ["café", "b c", "", "d"]


@pytest.mark.parametrize("content", ["ü".encode("latin-1"), "ab".encode("utf-16-le"), b"\xff\xfea"])
def test_other_encodings_are_refused(tmp_path, content):
    (tmp_path / "ids.txt").write_bytes(b"" if content.startswith(b"\xff") else b"first\n")
    with (tmp_path / "ids.txt").open("ab") as file:
        file.write(content)
    with pytest.raises(DataError, match=r"ids\.txt cannot be read as text: line \d is not UTF-8.*save it as"):
        read_text(tmp_path / "ids.txt")


def test_messages_obey_no_terminal_sequence_and_quote_little():
    assert str(DataError("id '\x1b[2J\u202egnp.exe'")) == r"id '\x1b[2J\u202egnp.exe'"
    assert visible("a\tb\nü") == "a\tb\nü"
    assert len(quoted("x" * 10**6)) < 200
    assert len(quoted([["x" * 500] * 50] * 50)) < 200
    assert quoted([10**5000]) == "<list of great size>"
    assert quoted({"a": 1}) == "{'a': 1}"
