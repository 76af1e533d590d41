"""Artifacts are whole or absent, altered ones are noticed, unknown identities are not kept."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError, StoreError
from harness.storage.content import save_array, save_json
from harness.storage.disk import explained
from harness.storage.store import SCHEMA, Artifact, Store, write_atomic


def put(store: Store, value: int = 3) -> Path:
    artifact = store.get("stage", {"value": value}, lambda folder: save_array(folder, "x", np.arange(value)))
    return artifact.folder


def test_an_artifact_is_made_once(tmp_path):
    calls = []

    def make(folder: Path) -> None:
        calls.append(1)
        save_array(folder, "x", np.arange(4))

    for _ in range(3):
        store = Store(tmp_path)
        assert store.get("stage", {"a": 1}, make).array("x").tolist() == [0, 1, 2, 3]
    assert len(calls) == 1
    assert (store.computed["stage"], store.reused["stage"]) == (0, 1)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest"])
def test_an_altered_artifact_is_made_again_and_said_so(tmp_path, damage, caplog):
    folder = put(Store(tmp_path))
    file = folder / "x.npy"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-3])
    elif damage == "remove":
        file.unlink()
    else:
        (folder / "manifest.json").write_text("{")
    store = Store(tmp_path)
    with caplog.at_level(logging.WARNING, "harness"):
        again = store.get("stage", {"value": 3}, lambda f: save_array(f, "x", np.arange(3)))
    assert again.array("x").tolist() == [0, 1, 2]
    assert store.computed["stage"] == 1
    assert "was altered" in caplog.text


GARBAGE = {
    "nothing": b"",
    "text": b"no array at all, " * 9,
    "a zip file": b"PK\x03\x04 and more",
    "half a header": b"\x93NUMPY\x01\x00\xff\xff{",
    "larger than the file": b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }".ljust(117)
    + b"\n",
}


def plant(folder: Path, name: str, content: bytes) -> None:
    """Put `content` there as whoever has the store's disk could: with a manifest that is right about it."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("stage", "content"),
    # Of a plugin's own files no more is known than that they are arrays at all.
    [("decode", name) for name in sorted(GARBAGE)]
    + [("fit", name) for name in ("a zip file", "nothing", "text")],
)
@pytest.mark.parametrize("door", ["get", "open"])
def test_a_planted_file_that_is_no_array_is_dropped_and_made_again(tmp_path, caplog, content, stage, door):
    def get(store: Store) -> Artifact:
        return store.get(stage, {"value": 3}, lambda folder: save_array(folder, "x", np.arange(3)))

    planted = get(Store(tmp_path))
    plant(planted.folder, "x.npy", GARBAGE[content])
    store = Store(tmp_path)
    with caplog.at_level(logging.WARNING, "harness"):
        if door == "open":
            assert store.open(stage, planted.key) is None
        assert get(store).array("x").tolist() == [0, 1, 2]
    assert "x.npy cannot be read" in caplog.text


def test_a_planted_array_of_objects_is_dropped_unexecuted_and_planted_json_too(tmp_path, caplog):
    def make(folder: Path) -> None:
        save_array(folder, "x", np.arange(3))
        save_json(folder, "y", [1])

    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    for name, content in (("x.npy", buffer.getvalue()), ("y.json", b"[1")):
        plant(Store(tmp_path).get("score", {"a": 1}, make).folder, name, content)
        again = Store(tmp_path).get("score", {"a": 1}, make)
        assert (again.array("x").tolist(), again.json("y")) == ([0, 1, 2], [1])
        assert f"{name} cannot be read" in caplog.text


def test_what_a_plugin_saves_is_its_own_business(tmp_path, caplog):
    def make(folder: Path) -> None:
        np.save(folder / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
        (folder / "lines.json").write_text("1\n2\n")

    Store(tmp_path).get("fit", {"a": 1}, make)
    store = Store(tmp_path)
    store.get("fit", {"a": 1}, make)
    assert (store.reused["fit"], caplog.text) == (1, "")


@pytest.mark.parametrize("read", ["array", "json"])
def test_a_planted_artifact_that_lacks_a_file_is_removed_in_one_line(tmp_path, read):
    def make(folder: Path) -> None:
        save_array(folder, "x", np.arange(3))
        save_json(folder, "x", [1])

    folder = Store(tmp_path).get("score", {"a": 1}, make).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": {}}))
    (folder / "x.npy").unlink()
    (folder / "x.json").unlink()
    with pytest.raises(StoreError, match="was removed; type the same command again") as raised:
        getattr(Store(tmp_path).get("score", {"a": 1}, make), read)("x")
    assert "\n" not in str(raised.value)
    assert Store(tmp_path).get("score", {"a": 1}, make).array("x").tolist() == [0, 1, 2]


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    store = Store(tmp_path)

    def make(folder: Path) -> None:
        save_array(folder, "x", np.arange(4))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.get("stage", {"a": 1}, make)
    assert list(tmp_path.rglob("x.npy")) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_unknown_identity_is_never_reused_and_goes_at_the_end(tmp_path):
    store = Store(tmp_path)
    first = put_unknown(store)
    assert put_unknown(store) != first
    store.close()
    assert not first.exists()


def put_unknown(store: Store) -> Path:
    return store.get("stage", {"code": ""}, lambda folder: save_array(folder, "x", np.arange(2))).folder


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_the_disks_errors_become_one_line(tmp_path, number):
    with pytest.raises(StoreError, match="give another place"), explained(tmp_path):
        raise OSError(number, os.strerror(number))


def test_no_space_while_writing_keeps_no_half(tmp_path):
    store = Store(tmp_path)

    def make(folder: Path) -> None:
        save_array(folder, "x", np.arange(4))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match="no space left"):
        store.get("stage", {"a": 1}, make)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "store.json"]


def test_a_store_of_a_newer_schema_is_refused(tmp_path):
    Store(tmp_path)
    (tmp_path / "store.json").write_text(json.dumps({"schema": SCHEMA + 1}))
    with pytest.raises(StoreError, match="pip install -U"):
        Store(tmp_path)


def test_a_file_in_place_of_the_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a folder"):
        Store(tmp_path / "file")


def test_leftovers_of_dead_processes_are_swept(tmp_path):
    store = Store(tmp_path)
    mine = store._temporary()
    mine.mkdir()
    dead = mine.with_name(mine.name.replace(f"@{os.getpid()}-", "@999999999-"))
    dead.mkdir()
    Store(tmp_path)
    assert mine.exists()
    assert not dead.exists()


def test_object_arrays_are_refused(tmp_path):
    with pytest.raises(DataError, match="Python objects"):
        save_array(tmp_path, "x", np.array([{}], dtype=object))


def test_write_atomic_replaces_whole(tmp_path):
    file = tmp_path / "a.json"
    write_atomic(file, b"old")
    write_atomic(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]
