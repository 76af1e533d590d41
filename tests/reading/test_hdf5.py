"""HDF5 as it is in the wild: links, virtual and external data, chunks that were never written."""

from __future__ import annotations

import logging
import os

import h5py
import numpy as np
import pytest

from harness.errors import DataError
from harness.reading import hdf5
from harness.reading.arrays import ArrayFile, describe, open_array

VALUES = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


def notes(path):
    return {info.name: info.note for info in describe(path)}


def linked(folder, kind):
    with h5py.File(folder / "raw.h5", "w") as raw:
        raw["deep/x"] = VALUES
    with h5py.File(folder / "a.h5", "w") as out:
        out["raw/x"] = VALUES
        out["y"] = {
            "external": h5py.ExternalLink("raw.h5", "/deep/x"),
            "soft": h5py.SoftLink("/raw/x"),
            "hard": out["raw/x"],
        }[kind]
    return folder / "a.h5"


@pytest.mark.parametrize("kind", ["external", "soft", "hard"])
def test_links_are_arrays_under_their_own_name(tmp_path, kind, monkeypatch):
    path = linked(tmp_path, kind)
    monkeypatch.chdir("/")  # an external link starts from the folder of its file
    assert notes(path) == {"raw/x": "", "y": ""}
    assert ArrayFile(path).infos["y"].shape == (20, 4)
    np.testing.assert_array_equal(open_array(path, "y").read(), VALUES)
    np.testing.assert_array_equal(open_array(path, "y").take(np.array([3, 1])), VALUES[[3, 1]])


def test_linked_groups_are_looked_into_and_circles_end(tmp_path):
    linked(tmp_path, "external")
    with h5py.File(tmp_path / "b.h5", "w") as out:
        out["session"] = h5py.ExternalLink("raw.h5", "/deep")
        out["group/self"] = h5py.SoftLink("/group")
        out["group/up"] = h5py.SoftLink("/")
        out["group/x"] = VALUES
    assert set(notes(tmp_path / "b.h5")) == {"session/x", "group/x"}
    np.testing.assert_array_equal(open_array(tmp_path / "b.h5", "session/x").read(), VALUES)


def test_groups_that_multiply_by_links_are_refused(tmp_path, monkeypatch):
    assert hdf5._MOST_LINKS == 100_000
    monkeypatch.setattr(hdf5, "_MOST_LINKS", 2000)  # to look at all takes seconds
    with h5py.File(tmp_path / "bomb.h5", "w") as out:
        for level in range(12):
            out.create_group(f"g{level}")
        for level in range(11):
            for k in range(8):
                out[f"g{level}/l{k}"] = h5py.SoftLink(f"/g{level + 1}")
        out["x"] = VALUES
    with pytest.raises(DataError, match="more than 2000 names"):
        open_array(tmp_path / "bomb.h5", "x")


def test_links_to_nothing_are_said(tmp_path):
    path = linked(tmp_path, "external")
    with h5py.File(path, "a") as out:
        out["gone"] = h5py.SoftLink("/raw/z")
    (tmp_path / "raw.h5").unlink()
    assert notes(path)["y"] == "a link to /deep/x of raw.h5, which is not there"
    assert notes(path)["gone"] == "a link to /raw/z, which is not there"
    with pytest.raises(
        DataError, match=r"'y' of a\.h5 is a link to /deep/x of raw\.h5, which is not there; put"
    ):
        open_array(path, "y")
    np.testing.assert_array_equal(open_array(path, "raw/x").read(), VALUES)


def virtual(folder, *, rows=20, second=10, unlimited=False):
    for k, length in ((1, 10), (2, second)):
        with h5py.File(folder / f"s{k}.h5", "w") as out:
            out["y"] = VALUES[10 * (k - 1) :][:length]
    layout = h5py.VirtualLayout((rows, 4), "f4")
    layout[:10] = h5py.VirtualSource("s1.h5", "y", (10, 4))
    layout[10:20] = h5py.VirtualSource("s2.h5", "y", (10, 4))
    with h5py.File(folder / "v.h5", "w") as out:
        out.create_virtual_dataset("y", layout)
    return folder / "v.h5"


def test_virtual_data_are_read_where_all_sources_are_there(tmp_path, monkeypatch):
    path = virtual(tmp_path)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(open_array(path, "y").read(), VALUES)
    assert notes(path) == {"y": ""}


def test_growing_virtual_data_are_read(tmp_path):
    virtual(tmp_path)
    layout = h5py.VirtualLayout((10, 4), "f4", maxshape=(None, 4))
    source = h5py.VirtualSource("s1.h5", "y", (10, 4), maxshape=(None, 4))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    with h5py.File(tmp_path / "u.h5", "w") as out:
        out.create_virtual_dataset("y", layout)
    np.testing.assert_array_equal(open_array(tmp_path / "u.h5", "y").read(), VALUES[:10])


LOST = {
    "file": (lambda folder: (folder / "s2.h5").unlink(), {}, r"source file s2\.h5 is not there"),
    "set": (lambda folder: _delete(folder / "s2.h5"), {}, r"source y of s2\.h5 is not there"),
    "unwritten": (lambda folder: _unwritten(folder / "s2.h5"), {}, r"source y of s2\.h5 was never written"),
    "rows": (lambda folder: None, {"rows": 25}, "sources for 80 of its 100 values only"),
    "length": (lambda folder: None, {"second": 7}, r"source y of s2\.h5 is too small, \(7, 4\)"),
}


def _delete(path):
    with h5py.File(path, "a") as out:
        del out["y"]


def _unwritten(path):
    with h5py.File(path, "w") as out:
        out.create_dataset("y", (10, 4), "f4")


@pytest.mark.parametrize("name", LOST)
def test_virtual_data_without_a_source_are_refused(tmp_path, name):
    lose, given, message = LOST[name]
    path = virtual(tmp_path, **given)
    lose(tmp_path)
    with pytest.raises(DataError, match=rf"'y' of v\.h5 is virtual and .*{message}"):
        open_array(path, "y")
    assert notes(path)["y"].startswith("is virtual and")


def test_virtual_data_of_a_file_that_holds_itself_end(tmp_path):
    layout = h5py.VirtualLayout((4, 4), "f4")
    layout[:] = h5py.VirtualSource(".", "y", (4, 4))
    with h5py.File(tmp_path / "v.h5", "w") as out:
        out.create_virtual_dataset("y", layout)
    with pytest.raises(DataError, match="is itself"):
        open_array(tmp_path / "v.h5", "y")


def test_raw_files_beside_must_be_there_and_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "e.h5"
    with h5py.File(path, "w") as out:
        out.create_dataset("y", data=VALUES, external=[("raw.bin", 0, h5py.h5f.UNLIMITED)])
    np.testing.assert_array_equal(open_array(path, "y").read(), VALUES)
    os.truncate(tmp_path / "raw.bin", 100)
    with pytest.raises(DataError, match=r"raw file raw\.bin, which holds 100 of 320 bytes"):
        open_array(path, "y")
    monkeypatch.chdir("/")
    with pytest.raises(DataError, match=rf"is not there; .*set HDF5_EXTFILE_PREFIX={tmp_path}"):
        open_array(path, "y")
    (tmp_path / "raw.bin").unlink()
    with pytest.raises(DataError, match=r"'y' of e\.h5 lies in the raw file raw\.bin, which is not there"):
        open_array(path, "y")


def created(path, shape=(20, 4), rows=0, **given):
    with h5py.File(path, "w") as out:
        item = out.create_dataset("y", shape, "f4", **given)
        if rows:
            item[:rows] = 1
    return path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "was never written: HDF5 hands out 0 in its place"),
        ({"chunks": (5, 4)}, "was never written"),
        ({"chunks": (5, 4), "fillvalue": -1}, "was never written: HDF5 hands out -1 in its place"),
        ({"chunks": (5, 4), "rows": 10}, "was written in part: 2 of its 4 chunks never were, .* hands out 0"),
        (
            {"chunks": (5, 4), "rows": 10, "compression": "gzip"},
            "was written in part: 2 of its 4 chunks never were",
        ),
    ],
)
def test_data_never_written_are_refused(tmp_path, given, message):
    path = created(tmp_path / "a.h5", **given)
    with pytest.raises(DataError, match=rf"'y' of a\.h5 {message}"):
        open_array(path, "y")
    assert notes(path)["y"].startswith("was ")


def test_what_was_written_or_says_that_it_was_not_is_read(tmp_path, caplog):
    for given in (
        {"rows": 20, "chunks": (6, 3)},
        {"rows": 20},
        {"chunks": (5, 4), "rows": 10, "fillvalue": np.nan},
    ):
        assert open_array(created(tmp_path / "a.h5", **given), "y").take(np.arange(9)).min() == 1
    with caplog.at_level(logging.WARNING):  # of a mask the rest may well have been left at 0
        assert open_array(created(tmp_path / "m.h5", shape=(20, 1), chunks=(5, 1), rows=3), "y").shape == (
            20,
            1,
        )
    assert "'y' of m.h5 was written in part: 3 of its 4 chunks" in caplog.text
