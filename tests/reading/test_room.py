"""Files from elsewhere: none runs code, leads out of its folder, or claims more memory than it holds."""

from __future__ import annotations

import gzip
import io
import pickle
import re
import struct
import tarfile
import zipfile
import zlib

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
import torch
from commands import ROOT
from hostile_pickles import Runs
from layout_files import npy
from PIL import Image

from harness.errors import ConfigError, DataError
from harness.reading import room
from harness.reading.arrays import ArrayFile, describe, open_array
from harness.reading.image_files import read_image
from harness.reading.pickled_names import read_pickled_names
from harness.reading.plain_files import npz_arrays
from harness.reading.tars import members, samples
from harness.reading.volumes import open_volume
from harness.reading.yaml_text import load_yaml
from harness.results import RunResult

HUGE = 1 << 40


# Each writes a file and returns what reads it.


def pickled_npy(path, evil):
    np.save(path.with_suffix(".npy"), np.array(evil, object), allow_pickle=True)
    return open_array, path.with_suffix(".npy")


def pickled_npz(path, evil):
    np.savez(path.with_suffix(".npz"), x=np.array(evil, object))
    return open_array, path.with_suffix(".npz")


def pickled_gallery(path, evil):
    np.savez(path.with_suffix(".npz"), x=np.array(evil, object))
    return npz_arrays, path.with_suffix(".npz")


def pickled_tensors(path, evil):
    torch.save({"x": evil}, path.with_suffix(".pt"))
    return open_array, path.with_suffix(".pt")


def old_pickled_tensors(path, evil):
    torch.save({"x": evil}, path.with_suffix(".pth"), _use_new_zipfile_serialization=False)
    return ArrayFile, path.with_suffix(".pth")


def plain_pickle(path, evil):
    path.with_suffix(".pkl").write_bytes(pickle.dumps(evil))
    return describe, path.with_suffix(".pkl")


def plain_pickle_called_a_tensor(path, evil):
    path.with_suffix(".pt").write_bytes(pickle.dumps(evil))
    return describe, path.with_suffix(".pt")


def names_of_regions(path, evil):
    np.save(path.with_suffix(".npy"), {0: evil})
    return read_pickled_names, path.with_suffix(".npy")


def member_of_a_tar(path, evil):
    stream = io.BytesIO()
    np.save(stream, np.array(evil, object), allow_pickle=True)
    _tar(path.with_suffix(".tar"), stream.getvalue())
    return (lambda file: members(file)[0].array()), path.with_suffix(".tar")


def yaml_tag(path, evil):
    text = f"x: !!python/object/apply:pathlib.Path.write_text ['{evil.marker}', ran]"
    path.with_suffix(".yaml").write_text(text)
    return (lambda file: load_yaml(file.read_text(), where=str(file))), path.with_suffix(".yaml")


def _tar(path, content, **changed):
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("sample0.behav.npy")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


RUNS_CODE = (
    *(pickled_npy, pickled_npz, pickled_gallery, pickled_tensors, old_pickled_tensors, plain_pickle),
    *(plain_pickle_called_a_tensor, names_of_regions, member_of_a_tar, yaml_tag),
)


@pytest.mark.parametrize("write", RUNS_CODE, ids=lambda write: write.__name__)
def test_nothing_in_a_file_is_run(write, tmp_path):
    marker = tmp_path / "ran"
    read, path = write(tmp_path / "given", Runs(marker))
    with pytest.raises((DataError, ConfigError)) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


# Each writes a small file that claims a terabyte, and returns what reads all of it.


def npz_head(path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (HUGE // 8,)}
    )
    with zipfile.ZipFile(path.with_suffix(".npz"), "w") as archive:
        archive.writestr("x.npy", head.getvalue() + b"0" * 64)
    return lambda: open_array(path.with_suffix(".npz")).read()


def npy_head(path):
    with path.with_suffix(".npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (HUGE // 8,)}
        )
        file.write(b"0" * 64)
    return lambda: open_array(path.with_suffix(".npy")).read()


def hdf5_of_one_number(path):
    """A terabyte of one packed number in each of its chunks is honest by HDF5's own lists of chunks."""
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        item = file.create_dataset("x", (HUGE // 8,), "f8", chunks=(HUGE // 8 // 4,), compression="gzip")
        for k in range(4):
            item.id.write_direct_chunk((k * (HUGE // 32),), zlib.compress(b"\0" * 64))
    return lambda: open_array(path.with_suffix(".h5")).read()


def hdf5_never_written(path):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("x", (HUGE // 8,), "f8", fillvalue=np.nan)
    return lambda: open_array(path.with_suffix(".h5")).read()


def matlab_empty(path):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["x"] = np.array([HUGE // 8, 1], np.uint64)
        file["x"].attrs["MATLAB_empty"], file["x"].attrs["MATLAB_class"] = np.uint8(1), b"double"
    return lambda: open_array(path.with_suffix(".h5")).read()


def matlab_text(path):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        item = file.create_dataset("x", (HUGE // 2, 1), "u2", fillvalue=65)
        item.attrs["MATLAB_class"] = b"char"
    return lambda: open_array(path.with_suffix(".h5")).read()


def matlab_sparse(path):
    scipy.io.savemat(path.with_suffix(".mat"), {"x": scipy.sparse.csc_matrix((1 << 30, 64))})
    return lambda: open_array(path.with_suffix(".mat")).read()


def tensor_of_one_number(path):
    torch.save({"x": torch.zeros(1).expand(HUGE // 4)}, path.with_suffix(".pt"))
    return lambda: open_array(path.with_suffix(".pt")).read()


def dictionaries_in_each_other(path):
    held = {"x": torch.zeros(1)}
    for _ in range(7):
        held = dict.fromkeys("abcdefghij", held)
    torch.save(held, path.with_suffix(".pt"))
    return lambda: describe(path.with_suffix(".pt"))


def volume_head(path):
    file = path.with_name("v.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2, 2), np.float32), np.eye(4)), file)
    head = bytearray(gzip.decompress(file.read_bytes())[:352])
    head[40:56] = np.array([4, 30000, 30000, 300, 1, 1, 1, 1], "<i2").tobytes()
    file.write_bytes(gzip.compress(bytes(head)))
    return lambda: open_volume(file).read()


def tar_with_holes(path):
    """GNU's old form of files with holes: one byte that claims to be a terabyte."""
    with tarfile.open(path.with_suffix(".tar"), "w") as archive:
        member = tarfile.TarInfo("sample0.behav.npy")
        member.type, member.size = tarfile.GNUTYPE_SPARSE, 1
        head = bytearray(member.tobuf(format=tarfile.GNU_FORMAT))
        head[386:410] = b"%011o\0%011o\0" % (0, 1)
        head[483:495] = b"\x80" + HUGE.to_bytes(11, "big")
        head[148:156] = b"%06o\0 " % (256 + sum(head[:148]) + sum(head[156:512]))
        archive.fileobj.write(bytes(head[:512]) + b"\0" * 512)
    return lambda: list(samples(path.with_suffix(".tar")))


def tar_head(path):
    with tarfile.open(path.with_suffix(".tar"), "w") as archive:
        member = tarfile.TarInfo("sample0.behav.npy")
        member.size = HUGE
        archive.fileobj.write(member.tobuf(format=tarfile.GNU_FORMAT) + b"\0" * 512)
    return lambda: list(samples(path.with_suffix(".tar")))


def parquet_of_one_number(path):
    """Run lengths pack a million equal rows into a few bytes; the limit is set below them."""
    pd.DataFrame({"value": np.zeros(1_000_000)}).to_parquet(path.with_suffix(".parquet"))
    run = RunResult(path.parent)
    return lambda: run._table(path.name, ("value",))


LIES = (
    *(npz_head, npy_head, hdf5_of_one_number, hdf5_never_written, matlab_empty, matlab_text, matlab_sparse),
    *(tensor_of_one_number, dictionaries_in_each_other, volume_head, tar_with_holes, tar_head),
    parquet_of_one_number,
)


@pytest.mark.parametrize("write", LIES, ids=lambda write: write.__name__)
def test_a_small_file_that_claims_all_memory_is_refused_before_it_gets_it(write, tmp_path, monkeypatch):
    read = write(tmp_path / "given")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1 << 20
    monkeypatch.setattr(room, "memory", lambda: 4 << 20)
    with pytest.raises(DataError) as caught:
        read()
    assert "\n" not in str(caught.value)
    assert any(word in str(caught.value) for word in ("claims", "truncated", "names more than", "holes"))


def test_a_packed_variable_of_matlab_is_unpacked_only_as_far_as_there_is_room(tmp_path, monkeypatch):
    from harness.reading import matlab

    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"x": np.zeros(1 << 20)}, do_compression=True)
    assert path.stat().st_size < 1 << 15
    assert open_array(path).read().size == 1 << 20
    for module in (room, matlab):
        monkeypatch.setattr(module, "memory", lambda: 1 << 20)
    with pytest.raises(DataError, match=r"the variable at byte 128 of .* claims"):
        open_array(path)


def test_what_fits_is_read(tmp_path, monkeypatch):
    values = np.arange(64.0)
    np.savez(tmp_path / "a.npz", x=values)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = values
    torch.save({"x": torch.tensor(values)}, tmp_path / "a.pt")
    monkeypatch.setattr(room, "memory", lambda: 64 * 8)
    for name in ("a.npz", "a.h5", "a.pt"):
        np.testing.assert_array_equal(open_array(tmp_path / name).read(), values)


def test_memory_is_the_machines_or_its_containers(tmp_path, monkeypatch):
    assert 1 << 26 < room.memory() < 1 << 50
    limit = tmp_path / "memory.max"
    limit.write_text("123456789\n")
    monkeypatch.setattr(room, "_LIMITS", (str(limit),))
    assert room.memory() == 123456789
    whole = room.os.sysconf("SC_PAGE_SIZE") * room.os.sysconf("SC_PHYS_PAGES")
    limit.write_text("max\n")
    assert room.memory() == whole


@pytest.mark.parametrize("kind", ["link", "hard link", "device", "packed"])
def test_what_is_no_file_of_an_archive_is_refused(kind, tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:gz" if kind == "packed" else "w") as archive:
        member = tarfile.TarInfo("../../outside.behav.npy")
        member.linkname = "/etc/passwd"
        types = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
        member.type = types.get(kind, tarfile.REGTYPE)
        archive.addfile(member)
    for read in (members, lambda file: list(samples(file))):
        with pytest.raises(DataError, match=r"link or device|cannot be read"):
            read(path)


def test_names_that_lead_out_are_names_only(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        content = npy(np.arange(3))
        member = tarfile.TarInfo("../../../outside.behav.npy")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    before = set(tmp_path.rglob("*"))
    ((key, sample),) = samples(tmp_path / "a.tar")
    assert (key, list(sample)) == ("outside", ["behav.npy"])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("../../x.npy", content)
    assert [info.name for info in describe(tmp_path / "a.npz")] == ["../../x"]
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "a.npz"}


def test_a_picture_that_claims_more_pixels_than_any_stimulus_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"claims more than .* pixels"):
        read_image(path)


def test_weights_whose_head_lies_are_no_weights(tmp_path):
    from harness.solvers.ridge import RidgeModel

    head = b'{"weights":{"dtype":"F32","shape":[274877906944],"data_offsets":[0,1099511627776]}}'
    (tmp_path / "ridge.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"0000")
    with pytest.raises(DataError, match="is not a saved ridge model"):
        RidgeModel.load(tmp_path / "ridge.safetensors")


FORBIDDEN = re.compile(
    r"\bextractall\(|\bunpack_archive\(|\bread_pickle\(|(?<![\w.])(?:eval|exec)\(|allow_pickle=True"
    r"|\b(?:c?[Pp]ickle|joblib|dill|marshal)\.loads?\(|\byaml\.(?:load|unsafe_load|full_load)\("
    r"|\btorch\.load\((?!.*weights_only=True)"
)
"""Ways to open a file that run what is in it, or unpack where it says."""

OWN = ("harness/storage/",)
"""Where this project's own processes pass tasks to each other."""


@pytest.mark.parametrize("folder", ["harness", "encoders", "decoders", "benchmarks", "reports"])
def test_no_module_opens_a_file_in_a_way_that_runs_it(folder):
    for file in (ROOT / folder).rglob("*.py"):
        name = file.relative_to(ROOT).as_posix()
        lines = [line.strip() for line in file.read_text("utf-8").splitlines() if "``" not in line]
        hits = [line for line in lines if FORBIDDEN.search(line)]
        assert not hits or name.startswith(OWN), f"{name}: {hits}"


@pytest.mark.parametrize(
    "line", ["torch.load(file)", "yaml.load(text, Loader)", "pickle.loads(x)", "archive.extractall(folder)"]
)
def test_the_rule_sees_what_it_forbids(line):
    assert FORBIDDEN.search(line)
    assert not FORBIDDEN.search("held = torch.load(path, map_location='cpu', weights_only=True)")
