"""Files that are absent, a folder, empty or closed: one line each, wherever they are named."""

from __future__ import annotations

import os

import pytest

from harness.errors import DataError, HarnessError
from harness.reading.present import existing_file


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.npz").write_bytes(b"x")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.npz").symlink_to("gone.npz")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("dat.npz", "there is no file dat.npz; did you mean 'data.npz'?"),
        ("zzzzzz", "there is no file zzzzzz"),
        ("nowhere/data.npz", "there is no file nowhere/data.npz, and no folder nowhere"),
        ("link.npz", "there is no file link.npz: it is a link to gone.npz, which is not there"),
        ("folder", "folder is a folder; expected a file (.npz)"),
        ("empty.npz", "empty.npz is empty (0 bytes); copy or export it again"),
        ("~no-such-user/x", "~no-such-user/x: there is no user 'no-such-user', whose home"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(place, name, line):
    with pytest.raises(HarnessError) as problem:
        existing_file(name, expected=".npz")
    assert str(problem.value).startswith(line)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_a_closed_file_says_how_to_open_it(place):
    (place / "data.npz").chmod(0)
    with pytest.raises(DataError, match=r"chmod u\+r data\.npz"):
        existing_file("data.npz")


def test_what_is_there_comes_back(place):
    assert existing_file("data.npz").read_bytes() == b"x"
    assert existing_file("empty.npz", may_be_empty=True).name == "empty.npz"
