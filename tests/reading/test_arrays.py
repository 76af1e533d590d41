"""Reading named arrays: the same values from every format, and clear errors for damaged files."""

from __future__ import annotations

import os
import pickle
from multiprocessing import get_context

import h5py
import numpy as np
import pytest
import scipy.io
from hostile_pickles import Runs
from paired_writers import FORMATS, write_arrays, write_matlab73
from PIL import Image

from harness.api import DataError
from harness.reading.arrays import as_integers, as_names, as_vector, describe, open_array, split_reference
from harness.reading.image_files import read_image
from harness.reading.sources import reading

RNG = np.random.default_rng(0)
ARRAYS = {
    "images": RNG.integers(0, 256, (7, 4, 5, 3)).astype(np.uint8),
    "betas": RNG.normal(size=(7, 6)),
    "single": RNG.normal(size=(3, 4)).astype(np.float32),
    "mask": RNG.random((1, 6)) > 0.5,
    "ids": np.array(["cat", "dogs", "übung"]),
}


def opened(folder, kind, arrays, name):
    file, key = split_reference(write_arrays(folder, kind, arrays)[name])
    return open_array(folder / file, key)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["images", "betas", "single", "mask"])
def test_every_format_gives_the_same_array(tmp_path, kind, name):
    source = opened(tmp_path, kind, ARRAYS, name)
    assert source.shape == ARRAYS[name].shape
    assert source.dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(source.read(), ARRAYS[name])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("axis", [0, 1, 3])
def test_take_equals_numpy_take(tmp_path, kind, axis):
    source = opened(tmp_path, kind, ARRAYS, "images")
    for positions in ([2, 0, 2], [1], [], [0, 2]):
        taken = source.take(np.array(positions, int), axis=axis)
        np.testing.assert_array_equal(taken, ARRAYS["images"].take(np.array(positions, int), axis=axis))


def test_far_apart_positions_are_read_one_by_one(tmp_path):
    values = np.arange(1000 * 3).reshape(1000, 3)
    with h5py.File(tmp_path / "a.h5", "w") as out:
        out["x"] = values
    source = open_array(tmp_path / "a.h5", "x")
    np.testing.assert_array_equal(source.take(np.array([999, 3, 999, 500])), values[[999, 3, 999, 500]])


@pytest.mark.parametrize("kind", ["h5", "mat73"])
@pytest.mark.parametrize("look_up", [0, 1 << 30])
def test_entries_are_the_same_looked_up_or_read_along(tmp_path, kind, look_up, monkeypatch):
    monkeypatch.setattr("harness.reading.sources._LOOK_UP", look_up)
    monkeypatch.setattr("harness.reading.sources._POINTS", 2)
    monkeypatch.setattr("harness.reading.sources._WHOLE_BYTES", 0)
    values = ARRAYS["images"]
    source = opened(tmp_path, kind, ARRAYS, "images")
    for axis, length in enumerate(values.shape):
        for positions in ([length - 1, 0, length - 1], list(range(length)), list(range(0, length, 2))[::-1]):
            taken = source.take(np.array(positions), axis=axis)
            np.testing.assert_array_equal(taken, values.take(positions, axis=axis))


def test_trailing_axis_beyond_memory_limit_is_read_in_slabs(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.reading.sources._WHOLE_BYTES", 0)
    source = opened(tmp_path, "mat73", ARRAYS, "images")
    np.testing.assert_array_equal(source.take(np.array([6, 1])), ARRAYS["images"][[6, 1]])
    assert source._whole is None


@pytest.mark.parametrize("kind", FORMATS)
def test_texts_are_names(tmp_path, kind):
    assert as_names(opened(tmp_path, kind, ARRAYS, "ids")) == ["cat", "dogs", "übung"]


def test_matlab_char_matrix_is_one_name_per_row(tmp_path):
    rows = np.array(["ab", "cde"])
    scipy.io.savemat(tmp_path / "five.mat", {"c": rows})
    codes = np.array([[ord(c) for c in row.ljust(3)] for row in rows], np.uint16)
    with h5py.File(tmp_path / "seven.mat", "w") as out:
        out.create_dataset("c", data=codes.T).attrs["MATLAB_class"] = np.bytes_("char")
    for file in ("five.mat", "seven.mat"):
        assert as_names(open_array(tmp_path / file, "c")) == ["ab", "cde"]


def test_numbers_are_names_without_a_point(tmp_path):
    np.save(tmp_path / "ids.npy", np.array([[1.0], [20.0]]))
    assert as_names(open_array(tmp_path / "ids.npy")) == ["1", "20"]
    (tmp_path / "ids.txt").write_text("a\nb c\n")
    assert as_names(open_array(tmp_path / "ids.txt")) == ["a", "b c"]


def test_packed_doubles_are_doubles_again(tmp_path):
    # MATLAB and scipy store whole doubles in bytes; the class tells what they are.
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.zeros((2, 2))})
    assert open_array(tmp_path / "a.mat", "x").dtype == np.float64


def test_structures_and_groups_are_paths(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"S": {"x": np.arange(3.0), "in": {"y": np.ones((2, 2))}}})
    with h5py.File(tmp_path / "a.h5", "w") as out:
        out["S/x"] = np.arange(3.0)
    assert [info.name for info in describe(tmp_path / "a.mat")] == ["S/in/y", "S/x"]
    assert as_vector(open_array(tmp_path / "a.mat", "S/x")).tolist() == [0, 1, 2]
    assert open_array(tmp_path / "a.mat", "S/in/y").shape == (2, 2)
    assert open_array(tmp_path / "a.h5", "/S/x").shape == (3,)


@pytest.mark.parametrize("kind", FORMATS)
def test_describe_lists_shapes_as_opened(tmp_path, kind):
    references = write_arrays(tmp_path, kind, ARRAYS)
    for name, reference in references.items():
        file, key = split_reference(reference)
        info = {i.name: i for i in describe(tmp_path / file)}[key or name]
        if name != "ids":
            assert info.shape == ARRAYS[name].shape
    assert not any("refs" in i.name for i in describe(tmp_path / file))


def test_references():
    assert split_reference("betas") == ("", "betas")
    assert split_reference("a/b.h5:run1/betas") == ("a/b.h5", "run1/betas")
    assert split_reference("C:\\data\\b.npy") == ("C:\\data\\b.npy", "")
    assert split_reference("b.v2.npz:x.mat") == ("b.v2.npz", "x.mat")


def test_the_only_array_needs_no_key(tmp_path):
    np.savez(tmp_path / "one.npz", x=np.ones(3))
    np.savez(tmp_path / "two.npz", x=np.ones(3), y=np.ones(2))
    assert open_array(tmp_path / "one.npz").shape == (3,)
    with pytest.raises(DataError, match=r"holds 2 arrays.*two\.npz:KEY.*x \(3,\) float64; y \(2,\)"):
        open_array(tmp_path / "two.npz")


@pytest.mark.parametrize("kind", ["mat5", "mat73", "npz", "h5"])
def test_missing_key_names_the_near_one_and_all_shapes(tmp_path, kind):
    write_arrays(tmp_path, kind, {"stimTrn": np.ones((2, 3)), "fmri": np.ones((2, 4))})
    (path,) = tmp_path.iterdir()
    with pytest.raises(DataError, match=r"'stimTrain'; did you mean 'stimTrn'\?.*fmri \(2, 4\).*\(2, 3\)"):
        open_array(path, "stimTrain")


def test_missing_file_names_the_near_one(tmp_path):
    np.save(tmp_path / "betas.npy", np.ones(3))
    with pytest.raises(DataError, match=r"no file .*beta\.npy; did you mean 'betas\.npy'"):
        open_array(tmp_path / "beta.npy")
    with pytest.raises(DataError, match="is a folder"):
        open_array(tmp_path)


def test_pickles_are_never_opened(tmp_path):
    mark = tmp_path / "exploded"
    bombs = np.array([Runs(mark)], object)
    np.save(tmp_path / "a.npy", bombs, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=bombs, good=np.ones(2))
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(bombs))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(bombs))
    for path, key in (("a.npy", ""), ("a.npz", "x"), ("raw.npy", ""), ("a.pkl", "")):
        with pytest.raises(DataError, match=r"pickle|cannot be read") as caught:
            open_array(tmp_path / path, key)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    assert open_array(tmp_path / "a.npz", "good").shape == (2,)
    assert {i.name for i in describe(tmp_path / "a.npz")} == {"x", "good"}


def test_matlab_cells_and_objects_are_refused(tmp_path):
    mixed = np.empty(2, object)
    mixed[:] = [np.ones(2), np.ones(3)]
    scipy.io.savemat(tmp_path / "a.mat", {"x": mixed})
    write_matlab73(tmp_path / "b.mat", {"x": np.ones((2, 2))})
    with h5py.File(tmp_path / "b.mat", "r+") as out:
        inner = out["x"].ref
        item = out.create_dataset("cell", data=np.array([[inner]], h5py.ref_dtype))
        item.attrs["MATLAB_class"] = np.bytes_("cell")
        table = out.create_dataset("table", data=np.array([[1, 2]], np.uint32))
        table.attrs["MATLAB_class"] = np.bytes_("table")
        table.attrs["MATLAB_object_decode"] = np.int32(3)
    for path, key in (("a.mat", "x"), ("b.mat", "cell"), ("b.mat", "table")):
        with pytest.raises(DataError, match=r"cell array, structure or object.*cellstr"):
            open_array(tmp_path / path, key)


def test_complex_and_empty_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", c=np.ones(2, complex), e=np.ones((0, 5)))
    scipy.io.savemat(tmp_path / "a.mat", {"e": np.ones((0, 5))})
    with pytest.raises(DataError, match="holds complex128; expected real numbers"):
        open_array(tmp_path / "a.npz", "c")
    for file in ("a.npz", "a.mat"):
        with pytest.raises(DataError, match=r"'e' of a\.\w+ is empty \(shape \(0, 5\)\)"):
            open_array(tmp_path / file, "e")
    np.save(tmp_path / "e.npy", np.ones((3, 0)))
    (tmp_path / "zero.mat").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        open_array(tmp_path / "e.npy")
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)"):
        open_array(tmp_path / "zero.mat", "x")


def test_empty_v73_array_holds_its_dimensions(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as out:
        item = out.create_dataset("e", data=np.array([0, 5], np.uint64))
        item.attrs["MATLAB_class"] = np.bytes_("double")
        item.attrs["MATLAB_empty"] = np.uint8(1)
    with pytest.raises(DataError, match=r"is empty \(shape \(0, 5\)\)"):
        open_array(tmp_path / "a.mat", "e")


def test_other_endings_are_refused(tmp_path):
    (tmp_path / "a.xlsx").write_text("1,2")
    with pytest.raises(DataError, match=r"ending '\.xlsx'; expected one of \.mat"):
        open_array(tmp_path / "a.xlsx")


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files_give_one_line_or_the_right_values(tmp_path, kind):
    values = np.random.default_rng(3).normal(size=(40, 30))
    references = write_arrays(tmp_path, kind, {"a": values, "z": values + 1})
    file, key = split_reference(references["z"])
    whole = (tmp_path / file).read_bytes()
    refused = 0
    cuts = {1, 4, 8, 60, 127, 128, 200, 511, 512, 600, *np.linspace(1, len(whole) - 1, 25).astype(int)}
    for cut in sorted(c for c in cuts if c < len(whole)):
        path = tmp_path / f"cut{cut}{(tmp_path / file).suffix}"
        path.write_bytes(whole[:cut])
        problem = None
        try:
            np.testing.assert_array_equal(open_array(path, key).read(), values + 1)
            describe(path)
        except DataError as error:
            problem = str(error)
            refused += 1
        assert problem is None or (path.name in problem and "\n" not in problem)
    assert refused >= 20


@pytest.mark.parametrize("kind", FORMATS)
def test_altered_bytes_raise_nothing_but_harness_errors(tmp_path, kind):
    references = write_arrays(tmp_path, kind, {"a": ARRAYS["betas"], "z": ARRAYS["single"]})
    file, key = split_reference(references["z"])
    whole = bytearray((tmp_path / file).read_bytes())
    rng = np.random.default_rng(4)
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 2048), 3):
            damaged[place] = rng.integers(0, 256)
        path = tmp_path / f"altered{(tmp_path / file).suffix}"
        path.write_bytes(damaged)
        try:
            open_array(path, key).read()
        except DataError:
            refused += 1
    assert refused


def test_garbage_of_every_ending_is_refused(tmp_path):
    for ending in (".mat", ".npz", ".npy", ".h5", ".hdf5", ".txt"):
        path = tmp_path / f"garbage{ending}"
        path.write_bytes(bytes(range(128, 256)) * 20)
        with pytest.raises(DataError, match=r"cannot be read.*damaged, truncated or not what its name says"):
            open_array(path, "" if ending in (".npy", ".txt") else "x")


def test_vectors_and_integers(tmp_path):
    np.savez(tmp_path / "a.npz", m=np.ones((2, 2)), half=np.array([1, 1.5]), t=np.array(["a"]))
    with pytest.raises(DataError, match=r"shape \(2, 2\); expected a vector"):
        as_vector(open_array(tmp_path / "a.npz", "m"))
    with pytest.raises(DataError, match=r"holds 1\.5; expected whole numbers"):
        as_integers(open_array(tmp_path / "a.npz", "half"))
    with pytest.raises(DataError, match="holds text; expected whole numbers"):
        as_integers(open_array(tmp_path / "a.npz", "t"))


def test_truncated_npy_is_noticed_when_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((5, 4)))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    with pytest.raises(DataError, match=r"a\.npy is truncated: 152 of 160 bytes of data"):
        open_array(tmp_path / "a.npy")


def _sum(source, queue):
    total = float(source.take(np.array([3, 1])).sum())
    handle = getattr(source, "_handle", None)
    queue.put((total, handle is None or handle[0] == os.getpid()))


@pytest.mark.parametrize("kind", ["h5", "mat73", "npy"])
def test_lazy_arrays_survive_forks_and_pickles(tmp_path, kind):
    source = opened(tmp_path, kind, ARRAYS, "betas")
    expected = float(source.take(np.array([3, 1])).sum())  # opened here, before the fork
    if kind == "mat73":
        source._whole = None  # kept in memory since it was read; the child shall read the file
    assert len(pickle.dumps(source)) < 2000
    assert float(pickle.loads(pickle.dumps(source)).take(np.array([3, 1])).sum()) == expected
    context = get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_sum, args=(source, queue))
    child.start()
    assert queue.get(timeout=30) == (expected, True)  # the child opened a handle of its own
    child.join()
    assert child.exitcode == 0


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path):
    file = tmp_path / "a file.mat"
    with pytest.raises(DataError, match="may not be read by this user") as caught, reading(file):
        raise PermissionError(13, "Permission denied")
    assert str(caught.value).endswith(f"chmod u+r '{file}'")


@pytest.mark.parametrize("kind", [*FORMATS, "png"])
def test_closed_files_of_every_format(tmp_path, kind):
    file = tmp_path / "a.png"
    if kind == "png":
        Image.fromarray(ARRAYS["images"][0]).save(file)
    else:
        file = tmp_path / split_reference(write_arrays(tmp_path, kind, ARRAYS)["betas"])[0]
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(DataError, match="may not be read by this user"):
        read_image(file) if kind == "png" else describe(file)
