"""A full disk is one line, whatever writer meets it, and no metric's fault."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from commands import call_harness, kill_words
from PIL import Image

from harness.errors import ConfigError, StoreError
from harness.solvers.saved import replaced
from harness.storage.disk import explained, is_out_of_space

NUMBERS = np.random.default_rng(0).random(200_000)  # 1.6 MB that no compression makes small


def write_hdf5(file: Path) -> None:
    with h5py.File(file, "w") as stored:
        stored["numbers"] = NUMBERS


def write_torch(file: Path) -> None:
    import torch

    torch.save({"numbers": torch.from_numpy(NUMBERS)}, file)


def write_safetensors(file: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"numbers": NUMBERS}, file)


def write_sqlite(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as base:
        base.execute("create table numbers (content blob)")
        base.execute("insert into numbers values (?)", (NUMBERS.tobytes(),))
        base.commit()


WRITERS = {
    "open": lambda file: file.write_bytes(NUMBERS.tobytes()),
    "numpy.save": lambda file: np.save(file.with_suffix(".npy"), NUMBERS),
    "numpy.savez": lambda file: np.savez(file.with_suffix(".npz"), NUMBERS),
    "tofile": lambda file: NUMBERS.tofile(file),
    "torch.save": write_torch,
    "safetensors": write_safetensors,
    "parquet": lambda file: pd.DataFrame({"numbers": NUMBERS}).to_parquet(file),
    "csv": lambda file: pd.DataFrame({"numbers": NUMBERS}).to_csv(file),
    "hdf5": write_hdf5,
    "png": lambda file: Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    ).save(file, "png"),
    "sqlite": write_sqlite,
}


@pytest.fixture
def small_files():
    """No file may grow beyond 64 KB, as under a quota; works without root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path):
    """A function: a folder on a disk of so many KB of its own."""
    mounted = []

    def mount(kilobytes: int) -> Path:
        folder = tmp_path / f"disk{kilobytes}"
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
        try:
            done = subprocess.run(words, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command here")
        if done.returncode:
            pytest.skip("mounting a small disk is not permitted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("writer", sorted(set(WRITERS) - {"sqlite"}))  # which takes EFBIG for an I/O error
def test_every_writer_at_a_quota(tmp_path, small_files, writer):
    with pytest.raises(StoreError, match=r"no space left under .* it resumes"), explained(tmp_path):
        WRITERS[writer](tmp_path / "file")


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_on_a_full_disk(small_disk, writer):
    folder = small_disk(256)
    with pytest.raises(StoreError, match=f"no space left under {folder}"), explained(folder):
        WRITERS[writer](folder / "file")


@pytest.mark.parametrize(
    "problem",
    [
        ValueError("3 requested and 4 given"),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        OSError("1 of 3 requested and written"),
        RuntimeError("no space in the voxel"),
        KeyError(28),
    ],
)
def test_other_errors_pass(tmp_path, problem):
    with pytest.raises(type(problem)) as raised, explained(tmp_path):
        raise problem
    assert raised.value is problem


def test_a_file_elsewhere_is_not_the_stores_trouble(tmp_path):
    refused = PermissionError(errno.EACCES, "Permission denied", "/somewhere/weights.pt")
    with pytest.raises(PermissionError), explained(tmp_path):
        raise refused
    with pytest.raises(StoreError, match="no space left under /somewhere"), explained(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/scratch.npy")


def test_what_hides_behind_another_error_is_seen():
    hidden = ValueError("cannot save the model")
    hidden.__cause__ = OSError("20 requested and 3 written")
    assert is_out_of_space(hidden)
    assert not is_out_of_space(ConfigError("file too large"))


def test_replaced_keeps_the_old_file_and_no_half(tmp_path, small_files):
    file = tmp_path / "folder" / "state.npy"
    with replaced(file) as partial:
        np.save(partial, np.arange(3))
    with pytest.raises(OSError), replaced(file) as partial:
        np.save(partial, NUMBERS)
    assert np.load(file).tolist() == [0, 1, 2]
    assert list(file.parent.iterdir()) == [file]


def one_line(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "metric" not in done.stderr.splitlines()[-1]
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("kilobytes", [64, 400])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run_with_a_full_store(tmp_path, small_disk, toy_words, kilobytes, workers):
    store = small_disk(kilobytes) / "store"
    words = ["run", *toy_words, "--store", str(store), "--workers", workers]
    if kilobytes > 100:  # what does not fit comes late, where metrics are scored
        words += ["--metrics", "pixcorr,ssim,pixel-2way,voxel-r", "--samples", "4"]
    done = call_harness(tmp_path, *words, check=False)
    one_line(done, f"no space left under {store}")
    assert not list((store / "tmp").iterdir())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("kilobytes", [16, 160])
def test_a_run_with_no_space_for_its_folder(tmp_path, small_disk, undisturbed, toy_words, kilobytes):
    """First no room for the tables, then none for the report: what is there is whole."""
    out = small_disk(kilobytes) / "runs"
    words = [word for word in kill_words(toy_words) if word != "--no-report"]
    done = call_harness(undisturbed, *words, "--out", str(out), check=False)
    one_line(done, f"no space left under {out}")
    folders = list(out.iterdir())
    assert not [name for folder in out.rglob("*") if (name := folder.name).startswith(".")]
    if folders:
        assert not (folders[0] / "report.html").exists()
        one_line(call_harness(tmp_path, "report", str(folders[0]), check=False), "no space left under")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_no_space_for_what_is_printed(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("harness")), "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no space left" in done.stderr
