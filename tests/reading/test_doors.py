"""One reader of arrays and of ids, whichever door they come in by and whatever program wrote them."""

from __future__ import annotations

import codecs
import json
import unicodedata

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from paired_writers import write_matlab73

from harness.benchmarks.paired import Paired
from harness.data import Stimuli
from harness.errors import DataError
from harness.reading.arrays import ArrayFile, describe, open_array, split_reference
from harness.settings import resolve_params
from harness.stages.precomputed import read_predictions
from harness.stages.reconstructions import GivenImages

IDS = ("cat", "dog 2", "übung", "n01_7", "café")
NUMBERS = (7.0, 12.0, 300.0, 4.0, 5.0)
FRACTIONS = (1518878.010040, 1518878.00101, 2084071.005009, 1.000001, 3.5)
VALUES = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
PICTURES = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), np.uint8)


# Ways to write an array and its ids; what each makes of ids that are numbers.


def npz(path, values, ids, name):
    np.savez(path, **{name: values, "ids": np.array(ids)})


def npz_bytes(path, values, ids, name):
    np.savez(path, **{name: values, "ids": np.array([str(i).encode() for i in ids])})


def h5(path, values, ids, name):
    with h5py.File(path, "w") as out:
        out[name] = values
        out["ids"] = np.array(ids) if not isinstance(ids[0], str) else list(ids)


def h5_fixed(path, values, ids, name):
    with h5py.File(path, "w") as out:
        out[name] = values
        out["ids"] = np.array([f"{i}  ".encode() for i in ids], "S40")  # blanks, then NULs


def h5_grouped(path, values, ids, name):
    with h5py.File(path, "w") as out:
        out["raw/x"] = values
        out[name] = h5py.SoftLink("/raw/x")
        out["ids"] = [str(i).encode() for i in ids]


def mat5(path, values, ids, name):
    scipy.io.savemat(path, {name: values, "ids": np.array(ids, object if isinstance(ids[0], str) else float)})


def mat5_char(path, values, ids, name):
    scipy.io.savemat(path, {name: values, "ids": np.array([str(i) for i in ids])})  # a char matrix, padded


def mat73(path, values, ids, name):
    write_matlab73(path, {name: values, "ids": np.array(ids)[:, None]})


def pt_list(path, values, ids, name):
    torch.save({name: torch.from_numpy(values), "ids": list(ids)}, path)


def pt_numpy(path, values, ids, name):
    torch.save({name: torch.from_numpy(values), "ids": np.array(ids)}, path)


def pt_scalars(path, values, ids, name):
    torch.save({name: values, "ids": list(np.array(ids))}, path)


def pt_inner(path, values, ids, name):
    torch.save({name: torch.from_numpy(values), "ids": tuple(ids), "config": {"lr": 0.1, "who": None}}, path)


def npy_text(path, values, ids, name, encoding="utf-8", end="\n"):
    np.save(path, values)
    path.with_suffix(".ids.txt").write_bytes((end.join(map(str, ids)) + end).encode(encoding))


def npy_bom(path, values, ids, name):
    npy_text(path, values, ids, name, "utf-8-sig", "\r\n")


def npy_utf16(path, values, ids, name):
    npy_text(path, values, ids, name, "utf-16")


def npy_decomposed(path, values, ids, name):
    npy_text(path, values, [unicodedata.normalize("NFD", str(i)) for i in ids], name)


def npy_json(path, values, ids, name):
    np.save(path, values)
    path.with_suffix(".ids.json").write_bytes(codecs.BOM_UTF8 + json.dumps(list(ids)).encode())


def pt_bare(path, values, ids, name):
    torch.save(torch.from_numpy(values), path)
    path.with_suffix(".ids.txt").write_text("\n".join(map(str, ids)))


WRITERS = {
    ".npz": [npz, npz_bytes],
    ".h5": [h5, h5_fixed, h5_grouped],
    ".mat": [mat5, mat5_char, mat73],
    ".pt": [pt_list, pt_numpy, pt_scalars, pt_inner, pt_bare],
    ".npy": [npy_text, npy_bom, npy_utf16, npy_decomposed, npy_json],
}
ALL = [pytest.param(s, w, id=w.__name__) for s, writers in WRITERS.items() for w in writers]


# Doors: ids of a file as the engine gets them.


def predictions(folder, suffix, write, ids):
    write(folder / f"p{suffix}", VALUES, ids, "predictions")
    names, values = read_predictions(folder / f"p{suffix}")
    np.testing.assert_array_equal(values[:, 0], VALUES)
    return names


def reconstructions(folder, suffix, write, ids):
    write(folder / f"r{suffix}", PICTURES, ids, "reconstructions")
    file = ArrayFile(folder / f"r{suffix}")
    names = file.ids(5, what="images")
    wanted = Stimuli.from_array(names, np.zeros((5, 8, 8, 3), np.uint8))
    given = GivenImages(str(folder / f"r{suffix}"), "file")
    (images,) = given.rows(wanted, flat_row="reconstructions").values()
    np.testing.assert_array_equal(images.images(), PICTURES)
    return names


def paired(folder, suffix, write, ids):
    write(folder / f"d{suffix}", VALUES, ids, "y")
    np.save(folder / "im.npy", PICTURES)
    beside = next((p.name for p in folder.glob("d.ids.*")), "")
    key = beside or f"d{suffix}:ids"
    data = {"images": "im.npy", "responses": f"d{suffix}:y" if not beside else f"d{suffix}", "ids": key}
    names = list(ArrayFile(folder / f"d{suffix}").ids(5, what="rows"))
    given = {"base_dir": str(folder), "data": data, "test_ids": names[3:], "units": "raw"}
    given |= {"image_layout": "nhwc", "dataset": "mine"}
    loaded = Paired(resolve_params(Paired.Params, given, section="benchmark")).load("subj01")
    np.testing.assert_allclose(loaded.train.responses.mean(), VALUES[:3], rtol=1e-6)
    return (*loaded.train.stimuli.ids, *loaded.test.stimuli.ids)


@pytest.mark.parametrize(("suffix", "write"), ALL)
@pytest.mark.parametrize("door", [predictions, reconstructions, paired])
def test_every_door_reads_ids_as_any_program_writes_them(tmp_path, door, suffix, write):
    assert door(tmp_path, suffix, write, IDS) == IDS


@pytest.mark.parametrize(("suffix", "write"), ALL)
def test_ids_that_are_numbers_are_their_text(tmp_path, suffix, write):
    texts = [str(n) for n in NUMBERS]  # "7.0", where the writer made text of the numbers
    names = predictions(tmp_path, suffix, write, NUMBERS)
    typed = write not in (npz, h5, mat5, mat73, pt_list, pt_numpy, pt_scalars, pt_inner)
    assert names == (tuple(texts) if typed else ("7", "12", "300", "4", "5"))


@pytest.mark.parametrize(("suffix", "write"), [(".npz", npz), (".h5", h5), (".mat", mat5), (".mat", mat73)])
def test_fractions_keep_six_decimals(tmp_path, suffix, write):
    assert predictions(tmp_path, suffix, write, FRACTIONS) == (
        *("1518878.010040", "1518878.001010", "2084071.005009", "1.000001", "3.500000"),
    )


@pytest.mark.parametrize("door", [predictions, reconstructions])
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ((*IDS[:4], "cat"), "the id 'cat' occurs more than once"),
        ((*IDS[:4], " cat\0"), "the id 'cat' occurs more than once"),
        ((*IDS[:4], "cafe\u0301", "x")[:5], None),
        (("caf\u00e9", *IDS[:3], "cafe\u0301"), "the id 'caf\u00e9' occurs more than once"),
        ((*IDS[:2], "", *IDS[3:]), "no id in 1 places, the first at entry 2"),
        (IDS[:4], "4 ids for 5"),
    ],
)
def test_every_door_refuses_bad_ids(tmp_path, door, ids, message):
    if message is None:
        assert door(tmp_path, ".npz", npz, ids)[-1] == "caf\u00e9"
        return
    written = ((".npz", npz), (".npy", npy_text))  # a NUL in a text file would be another trouble
    for suffix, write in written[: 1 if "\0" in "".join(ids) else 2]:
        with pytest.raises(DataError, match=message) as caught:
            door(tmp_path, suffix, write, ids)
        assert "\n" not in str(caught.value)


def test_two_lists_of_ids_must_agree(tmp_path):
    npz(tmp_path / "p.npz", VALUES, IDS, "predictions")
    (tmp_path / "p.ids.txt").write_text("\n".join(IDS))
    assert read_predictions(tmp_path / "p.npz")[0] == IDS
    (tmp_path / "p.ids.txt").write_text("\n".join(IDS[::-1]))
    with pytest.raises(DataError, match=r"p\.npz and .*p\.ids\.txt hold different ids; delete one"):
        read_predictions(tmp_path / "p.npz")


# Tables.


def frame(ids=IDS, columns=None):
    return pd.DataFrame(VALUES.astype(float), index=list(ids), columns=columns)


TABLES = {
    "pandas, ids in the index": lambda f: frame().to_csv(f),
    "pandas, a named index": lambda f: frame().rename_axis("image_id").to_csv(f),
    "pandas, a column of ids": lambda f: frame().reset_index(names="ids").to_csv(f, index=False),
    "pandas, read and written again": lambda f: frame().to_csv(f) or pd.read_csv(f).to_csv(f, index=False),
    "pandas, numbers of rows too": lambda f: frame().reset_index(names="ids").to_csv(f),
    "voxels with names": lambda f: frame(columns=[f"v{k}" for k in range(6)]).to_csv(f),
    "no head": lambda f: frame().to_csv(f, header=False),
    "with a byte order mark": lambda f: frame().to_csv(f, encoding="utf-8-sig"),
    "for spreadsheets": lambda f: f.write_text("sep=,\n" + frame().to_csv(), encoding="utf-16"),
    "decimal commas": lambda f: frame().to_csv(f, sep=";", decimal=","),
    "line ends of Windows": lambda f: frame().to_csv(f, lineterminator="\r\n"),
    "ids in quotes": lambda f: frame().to_csv(f, quoting=2),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_as_programs_write_them(tmp_path, name):
    path = tmp_path / "p.csv"
    TABLES[name](path)
    ids, values = read_predictions(path)
    assert ids == IDS
    np.testing.assert_allclose(values[:, 0], VALUES, rtol=1e-6)


def test_tables_with_tabs_and_without_ids(tmp_path):
    frame().to_csv(tmp_path / "p.tsv", sep="\t")
    assert read_predictions(tmp_path / "p.tsv")[0] == IDS
    np.savetxt(tmp_path / "q.csv", VALUES, delimiter=",")
    with pytest.raises(DataError, match=r"says nothing of ids; put one id a line.*q\.ids\.txt"):
        read_predictions(tmp_path / "q.csv")
    (tmp_path / "q.ids.txt").write_text("\n".join(IDS))
    ids, values = read_predictions(tmp_path / "q.csv")
    assert ids == IDS
    np.testing.assert_allclose(values[:, 0], VALUES, rtol=1e-6)


def test_columns_of_a_table_are_arrays_by_name(tmp_path):
    table = pd.DataFrame({"image": IDS, "session": [1, 1, 2, 2, 3], "category": list("aabbc")})
    table.to_csv(tmp_path / "trials.csv")
    assert open_array(tmp_path / "trials.csv", "image").read().tolist() == list(IDS)
    assert open_array(tmp_path / "trials.csv", "session").read().tolist() == [1, 1, 2, 2, 3]
    assert open_array(tmp_path / "trials.csv", "category").read().tolist() == list("aabbc")
    assert {"image", "ids", "session", "category"} <= {
        info.name for info in describe(tmp_path / "trials.csv")
    }
    (tmp_path / "ids.csv").write_text("ids\n" + "\n".join(IDS))
    assert open_array(tmp_path / "ids.csv", "ids").read().tolist() == list(IDS)


BAD_TABLES = {
    "a row cut off": ("id,a,b\nx,1,2\ny,3\n", r"2 columns in row 3 and 3 in the first.*truncated"),
    "a row too long": ("id,a,b\nx,1,2\ny,3,4,5\n", "4 columns in row 3 and 3 in the first"),
    "a word": ("id,a,b\nx,1,2\ny,3,abc\n", r"holds 'abc' in row 3, column 'b'; expected a number"),
    "cut in a number": ("id,a,b\nx,1.2345,2.2345\ny,3.2345,4.2", r"ends in '4\.2' without a line break"),
    "an open quote": ('id,a,b\n"x,1,2\ny,3,4\n', "cannot be read as a table"),
    "nothing": ("\n", "holds no row"),
    "a head alone": ("id,a,b\n", "a head and no row"),
    "numbers of rows": (",v0,v1\n0,1,2\n1,3,4\n", r"first column has no head and holds 0, 1, 2, \.\.\."),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_one_line(tmp_path, name):
    text, message = BAD_TABLES[name]
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(tmp_path / "p.csv")
    assert "\n" not in str(caught.value)


def test_gaps_of_a_table_are_nan(tmp_path):
    (tmp_path / "p.csv").write_text("id,a,b\nx,1,\ny,NA,nan\n")
    np.testing.assert_array_equal(read_predictions(tmp_path / "p.csv")[1][:, 0], [[1, np.nan], [np.nan] * 2])


# Damage.


@pytest.mark.parametrize(("suffix", "write"), [*ALL, pytest.param(".csv", None, id="csv")])
def test_truncated_predictions_are_one_clear_line(tmp_path, suffix, write):
    path = tmp_path / f"p{suffix}"
    values = np.random.default_rng(2).normal(size=(5, 40)).astype(np.float32)
    if write is None:
        table = pd.DataFrame(values.astype(float), index=list(IDS))
        table.to_csv(path, float_format="%.9e")
    else:
        write(path, values, IDS, "predictions")
    whole = path.read_bytes()
    refused = 0
    for cut in sorted({0, 1, 100, 127, 128, 131, 140, *np.linspace(2, len(whole) - 30, 20).astype(int)}):
        part = tmp_path / f"cut{cut}{suffix}"
        part.write_bytes(whole[:cut])
        for beside in tmp_path.glob("p.ids.*"):
            (tmp_path / f"cut{cut}{''.join(beside.suffixes)}").write_bytes(beside.read_bytes())
        try:
            ids, read = read_predictions(part)
            lines = len(IDS) if write else len(ids)  # a table cut between lines lacks ids, which is told
            assert ids == IDS[:lines]
            np.testing.assert_allclose(read[:, 0], values[:lines], rtol=1e-6)
        except DataError as problem:
            refused += 1
            message = str(problem)
            assert part.name in message
            assert "\n" not in message
            assert len(message) < 500
    assert refused >= (22 if write else 18)


def test_a_truncated_matlab_file_is_called_damaged(tmp_path):
    for compressed in (False, True):
        scipy.io.savemat(tmp_path / "d.mat", {"a": VALUES, "b": VALUES + 1}, do_compression=compressed)
        whole = (tmp_path / "d.mat").read_bytes()
        for cut in (len(whole) - 1, len(whole) - 60, 140, 131):
            (tmp_path / "e.mat").write_bytes(whole[:cut])
            with pytest.raises(DataError, match=r"e\.mat is damaged or truncated: the variable at byte"):
                open_array(tmp_path / "e.mat", "b")
        np.testing.assert_allclose(open_array(tmp_path / "d.mat", "b").read(), VALUES + 1)


def test_references_of_every_ending_are_split():
    for suffix in (".csv", ".tsv", ".pt", ".pth", ".mat", ".json", ".txt"):
        assert split_reference(f"a/b{suffix}:k") == (f"a/b{suffix}", "k")
        assert split_reference(f"b{suffix}") == (f"b{suffix}", "")
