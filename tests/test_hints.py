"""Every hint that an error gives, applied as it is printed, leads on: to data, or to another instruction."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hints import follow_hints, hints_in
from PIL import Image

from harness.benchmarks.paired import Paired
from harness.data import Stimuli
from harness.errors import ConfigError, DataError
from harness.reading.arrays import open_array
from harness.reading.texts import read_text
from harness.settings import resolve_params
from harness.stages.precomputed import read_predictions
from harness.stages.reconstructions import GivenImages

ROOT = Path(__file__).parents[1]
IMAGES = np.random.default_rng(5).integers(0, 256, (6, 4, 5, 3), np.uint8)
BETAS = np.random.default_rng(6).normal(size=(6, 4))
ARRAYS = {"a": IMAGES[:4], "ya": BETAS[:4], "b": IMAGES[4:], "yb": BETAS[4:], "x": IMAGES, "y": BETAS}
TRAIN, TEST = {"images": "a", "responses": "ya"}, {"images": "b", "responses": "yb"}
SPLITS = {"train": TRAIN, "test": TEST}
WHOLE = {"train": None, "test": None, "data": {"images": "x", "responses": "y", "ids": "i"}}
SESSIONS = {"normalise": "zscore_session"}


def spoilt(values, **places):
    values = values.copy()
    for name, place in places.items():
        values[place] = {"nan": np.nan, "zero": 0, "same": 3.0}[name]
    return values


def with_keys(**keys):
    return {"train": TRAIN | keys, "test": TEST}


def folder(path, lost=()):
    (path / "im").mkdir(exist_ok=True)
    for k in set(range(6)) - set(lost):
        Image.fromarray(IMAGES[k]).save(path / "im" / f"s{k}.png")


def without_images(path):
    folder(path, lost=[1])
    (path / "ids.txt").write_text("\n".join(f"s{k}" for k in range(6)))


def of_unequal_sizes(path):
    without_images(path)
    for k in (1, 2):
        Image.fromarray(IMAGES[k].repeat(k, axis=0)).save(path / "im" / f"s{k}.png")


CEILING = {"noise_ceiling": "c", "noise_ceiling_trials": 3}
OF_FOLDER = {"images": "im/", "responses": "y", "ids": "ids.txt"}

# arrays, parameters, what fills the blanks of hints, what is made beside the file
CASES = {
    "key": ({}, with_keys(images="aa"), {}, None),
    "file": ({}, {"file": "aa.npz"}, {}, None),
    "no file": ({}, {"file": ""}, {"file": "a.npz"}, None),
    "image index": ({"ya": BETAS[:3], "n": np.arange(3)}, {}, {"image_index": "n"}, None),
    "image ids": (
        {"ya": BETAS[:3], "n": np.array(["c", "d", "e"]), "i": np.array(["c", "d", "e", "f"])},
        with_keys(ids="i"),
        {"image_ids": "n"},
        None,
    ),
    "voxels first": ({"ya": BETAS[:4, :3].T, "yb": BETAS[4:, :3].T}, {}, {}, None),
    "repeats": ({"ya": BETAS[:4, None], "yb": BETAS[4:, None]}, {}, {}, None),
    "repeats have no index": (
        {"ya": BETAS[:4, None], "yb": BETAS[4:, None], "n": np.arange(4)},
        with_keys(image_index="n") | {"responses_layout": "images-repeats-voxels", "index_base": 0},
        {},
        None,
    ),
    "nan": ({"ya": spoilt(BETAS[:4], nan=(0, 2))}, {}, {}, None),
    "nan and constant": ({"ya": spoilt(BETAS[:4], nan=(0, 2), same=(slice(None), 1))}, {}, {}, None),
    "zero": ({"ya": spoilt(BETAS[:4], zero=1)}, {}, {}, None),
    "overlap": ({"b": IMAGES[[4, 1]]}, {}, {}, None),
    "ids of trials": (
        {"n": np.array(["c", "d", "e", "f"])},
        with_keys(image_ids="n"),
        {"ids": "n"},
        None,
    ),
    "sessions": (
        {"s": np.array([1, 1, 2, 2]), "t": np.array([1, 2])},
        SESSIONS,
        {"session": {"train": "s", "test": "t"}},
        None,
    ),
    "no sessions": ({}, SESSIONS, {}, None),
    "few in a session": (
        {"s": np.array([1, 1, 1, 2]), "t": np.array([1, 1])},
        SESSIONS | {"train": TRAIN | {"session": "s"}, "test": TEST | {"session": "t"}},
        {},
        None,
    ),
    "order": ({}, {"image_order": "F", "image_shape": [4, 5]}, {}, None),
    "layout": ({}, {"image_layout": ""}, {}, None),
    "flat": (
        {"a": IMAGES[:4].reshape(4, -1), "b": IMAGES[4:].reshape(2, -1)},
        {"image_layout": "flat"},
        {"image_shape": [4, 5, 3]},
        None,
    ),
    "misspelt": ({}, {"trian": TRAIN, "train": None}, {}, None),
    "misspelt in a split": ({"s": np.ones(4)}, with_keys(sesion="s"), {}, None),
    "no responses": ({}, {"train": {"images": "a"}}, {"responses": {"train": "ya", "test": "yb"}}, None),
    "no units": ({}, {"units": ""}, {}, None),
    "units": ({}, {"units": "zscores"}, {}, None),
    "normalise": ({}, {"normalise": "zscor"}, {}, None),
    "exclude": ({}, {"exclude": ["nans"]}, {}, None),
    "responses layout": ({}, {"responses_layout": "trial-first"}, {}, None),
    "base": ({"n": np.arange(4)}, with_keys(image_index="n"), {}, None),
    "index and ids": (
        {"n": np.arange(4), "i": np.array(["c", "d", "e", "f"])},
        with_keys(image_index="n", image_ids="i", ids="i") | {"index_base": 0},
        {},
        None,
    ),
    "names of regions": ({"r": np.array([1, 2, 1, 2])}, {"roi_labels": "r"}, {}, None),
    "group": ({"m": np.ones(4)}, {"rois": {"V1": "m"}, "groups": {"early": ["V2"]}}, {}, None),
    "marks beside splits": ({"m": np.ones(4)}, {"test_mask": "m"}, {}, None),
    "id": ({"i": np.arange(6)}, WHOLE | {"test_ids": ["30"]}, {}, None),
    "subjects": (
        {},
        {"file": "a_{subject}.npz"},
        {},
        lambda path: (path / "a.npz").rename(path / "a_subj01.npz"),
    ),
    "ceiling": (
        {"c": np.array([10.0, 20, 30, 40])},
        {"noise_ceiling_max": 100},
        {"noise_ceiling": "c"},
        None,
    ),
    "percent as ncsnr": (
        {"c": np.array([10.0, 20, 30, 40])},
        {"ncsnr": "c"},
        {"noise_ceiling_trials": 3},
        None,
    ),
    "shares as percent": (
        {"c": np.array([0.1, 0.2, 0.3, 0.4])},
        CEILING | {"noise_ceiling_max": 100},
        {},
        None,
    ),
    "percent as shares": ({"c": np.array([10.0, 20, 30, 40])}, CEILING | {"noise_ceiling_max": 1}, {}, None),
    "overshoot": ({"a": IMAGES[:4] / 254, "b": IMAGES[4:] / 255}, {}, {}, None),
    "white": ({"a": IMAGES[:4] * 1.0, "b": IMAGES[4:] * 1.0}, {}, {}, None),
    "divided twice": ({"a": IMAGES[:4] / 255**2, "b": IMAGES[4:] / 255**2}, {}, {}, None),
    "white and overshoot": ({"a": IMAGES[:4] * 1.002, "b": IMAGES[4:] * 1.0}, {}, {}, None),
    "unequal sizes": ({}, WHOLE | {"data": OF_FOLDER, "test_ids": ["s5"]}, {}, of_unequal_sizes),
    "another shape": (
        {},
        WHOLE | {"data": OF_FOLDER, "test_ids": ["s5"], "image_resize": [4, 4], "image_filter": "area"},
        {},
        of_unequal_sizes,
    ),
    "lost images": ({}, WHOLE | {"data": OF_FOLDER, "test_ids": ["s5"]}, {}, without_images),
}


def load_from(path):
    def load(given):
        return Paired(resolve_params(Paired.Params, given, section="benchmark")).load("subj01")

    return load


def followed(path, name):
    changed, given, fill, prepare = CASES[name]
    np.savez(path / "a.npz", **(ARRAYS | changed))
    if prepare is not None:
        prepare(path)
    whole = {
        "base_dir": str(path),
        "file": "a.npz",
        "units": "raw",
        "image_layout": "nhwc",
        **SPLITS,
        **given,
    }
    return follow_hints(load_from(path), {k: v for k, v in whole.items() if v is not None}, fill)


@pytest.mark.parametrize("name", CASES)
def test_hints_of_the_paired_benchmark_lead_to_data(tmp_path, name):
    data, messages = followed(tmp_path, name)
    assert messages, "this case has no error to mend"
    assert not isinstance(data, str), f"the advice ends in: {data}"
    assert data.space.n_voxels == len(data.space.valid) >= 3
    assert len(data.train.stimuli) + len(data.test.stimuli) >= 5


SOURCES = [*(ROOT / "benchmarks").glob("paired*.py"), *(ROOT / "harness" / "reading").glob("*.py")]
HINTING = {str(file.relative_to(ROOT)): hints_in(file) for file in sorted(SOURCES) if hints_in(file)}


def test_every_module_that_reads_data_is_scanned():
    assert {"benchmarks/paired_voxels.py", "benchmarks/paired.py", "harness/reading/resizing.py"} <= set(
        HINTING
    )


@pytest.mark.parametrize("module", HINTING)
def test_every_hint_is_followed_by_a_case(tmp_path, module):
    messages = []
    for name in CASES:
        (tmp_path / name).mkdir()
        messages += followed(tmp_path / name, name)[1]
    by_hand = "> ids\\.txt"  # a command for the shell, below
    unseen = [
        pattern
        for pattern in HINTING[module]
        if not any(re.search(pattern, message) for message in messages) and by_hand not in pattern
    ]
    assert not unseen


def test_a_list_of_the_folder_is_made_as_printed(tmp_path):
    folder(tmp_path)
    np.savez(tmp_path / "a.npz", y=BETAS)
    given = {"base_dir": str(tmp_path), "file": "a.npz", "units": "raw", "test_ids": ["s5"]}
    given["data"] = {"images": "im/", "responses": "y"}
    with pytest.raises(DataError, match="need ids") as caught:
        load_from(tmp_path)(given)
    command, ids = re.search(r"type: (.+), and add ids: (\S+)$", str(caught.value)).groups()
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    given["data"]["ids"] = ids
    assert load_from(tmp_path)(given).test.stimuli.ids == ("s5.png",)


# Files.

NAMES = ("c", "d", "e", "f", "g", "h")


def write_npz(path, **arrays):
    np.savez(path / "p.npz", **arrays)
    return path / "p.npz"


def expression(message, pattern):
    return re.search(pattern, message)[1]


def refused(read, *words, **more):
    with pytest.raises((ConfigError, DataError)) as caught:
        read(*words, **more)
    return str(caught.value)


def test_ids_beside_a_file_go_where_the_message_says(tmp_path):
    for suffix, write in ((".npy", np.save), (".csv", lambda p, v: np.savetxt(p, v, delimiter=","))):
        write(tmp_path / f"p{suffix}", BETAS)
        name = expression(refused(read_predictions, tmp_path / f"p{suffix}"), r"into (\S+)$")
        (tmp_path / name).write_text("\n".join(NAMES))
        assert read_predictions(tmp_path / f"p{suffix}")[0] == NAMES
        (tmp_path / name).unlink()


def test_ids_are_saved_as_text_as_the_message_says(tmp_path):
    for ids in (np.full(6, np.pi) * np.arange(1, 7), np.array([2.0**60] * 6) + np.arange(6) * 2**12):
        message = refused(read_predictions, write_npz(tmp_path, predictions=BETAS, ids=ids))
        text_ids = eval(expression(message, r"in Python: (.+)$"), {"numpy": np, "ids": ids})
        assert len(set(read_predictions(write_npz(tmp_path, predictions=BETAS, ids=text_ids))[0])) == 6


def test_pickled_ids_are_saved_as_text_as_the_message_says(tmp_path):
    ids = np.array(NAMES, object)
    message = refused(read_predictions, write_npz(tmp_path, predictions=BETAS, ids=ids))
    text_ids = eval(expression(message, r"for example (.+)$"), {"numpy": np, "ids": ids})
    assert read_predictions(write_npz(tmp_path, predictions=BETAS, ids=text_ids))[0] == NAMES


def test_tensors_are_saved_as_the_message_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = Stimuli.from_array(NAMES, IMAGES)
    torch.save({"reconstructions": torch.from_numpy(IMAGES), "ids": {1, 2}, "when": Path("x")}, "recons.pt")
    given = GivenImages("recons.pt", "file")
    message = refused(given.rows, wanted, flat_row="reconstructions")
    names = {"torch": torch, "images": torch.from_numpy(IMAGES), "ids": NAMES}
    exec(expression(message, r"(torch\.save.+\))$"), names)
    (images,) = given.rows(wanted, flat_row="reconstructions").values()
    np.testing.assert_array_equal(images.images(), IMAGES)


def test_a_table_is_mended_as_the_message_says(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(",v0,v1\n" + "".join(f"{k},{k}.5,{k}.25\n" for k in range(6)))
    assert "Call it ids in the first line" in refused(read_predictions, path)
    path.write_text("ids" + path.read_text())
    assert read_predictions(path)[0] == tuple("012345")
    path.write_text("id,a,b\nx,1.2345,2.2345\ny,3.2345,4.2")
    assert "add a line break at its end" in refused(read_predictions, path)
    path.write_text(path.read_text() + "\n")
    assert read_predictions(path)[0] == ("x", "y")


def test_one_of_two_lists_is_deleted_as_the_message_says(tmp_path):
    path = write_npz(tmp_path, predictions=BETAS, ids=np.array(NAMES))
    (tmp_path / "p.ids.txt").write_text("\n".join(NAMES[::-1]))
    other = expression(refused(read_predictions, path), r"and (\S+) hold different ids; delete one")
    Path(other).unlink()
    assert read_predictions(path)[0] == NAMES


def test_a_key_is_named_as_the_message_says(tmp_path):
    path = write_npz(tmp_path, x=BETAS, y=BETAS + 1)
    assert "name one as 'p.npz:KEY'" in refused(open_array, path)
    assert open_array(path, "y").shape == (6, 4)
    np.save(tmp_path / "p.npy", BETAS)
    assert "leave out ':k'" in refused(open_array, tmp_path / "p.npy", "k")
    assert open_array(tmp_path / "p.npy").shape == (6, 4)


def test_texts_are_saved_as_utf_8_as_the_message_says(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes("übung".encode("latin-1"))
    assert refused(read_text, path).endswith("save it as UTF-8")
    path.write_text("übung", encoding="utf-8")
    assert read_text(path) == "übung"


def test_the_folder_of_raw_files_is_set_as_the_message_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File(tmp_path / "e.h5", "w") as out:
        out.create_dataset("y", data=BETAS, external=[("raw.bin", 0, h5py.h5f.UNLIMITED)])
    monkeypatch.chdir("/")
    name, value = expression(refused(open_array, tmp_path / "e.h5"), r"set (\S+=[^;]+);").split("=")
    code = f"from harness.reading.arrays import open_array; x = open_array({str(tmp_path / 'e.h5')!r}).read()"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; assert abs(x.sum() - {float(BETAS.sum())!r}) < 1e-9"],
        env=os.environ | {name: value},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
