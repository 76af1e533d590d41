"""Predictions in files and reconstructions in folders: matched by id, or refused in one line."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image
from test_run import only_run
from toys import ToyBenchmark

from harness.errors import DataError
from harness.precomputed import ReconstructionFolder, read_predictions


@pytest.fixture
def data():
    return ToyBenchmark(ToyBenchmark.Params(n_test=16)).load("toy01")


@pytest.fixture
def words(toy_words):
    return [*toy_words[:2], *toy_words[4:], "--set", "benchmark.n_test=16"]


def write(path, ids, values):
    if path.suffix == ".npz":
        np.savez(path, predictions=values, ids=np.array(ids))
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["betas"] = values
            file["ids"] = [name.encode() for name in ids]
    else:
        np.save(path, values)
        path.with_suffix(".ids.txt").write_text("\n".join(ids) + "\n")


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".npy"])
def test_the_three_forms_say_the_same(tmp_path, data, suffix):
    values = data.test.responses.mean()
    write(tmp_path / f"p{suffix}", data.test.stimuli.ids, values)
    ids, read = read_predictions(tmp_path / f"p{suffix}")
    assert ids == data.test.stimuli.ids
    np.testing.assert_array_equal(read[:, 0], values)


def test_rows_are_matched_by_id_not_by_position(harness, tmp_path, words, data):
    ids, values = list(data.test.stimuli.ids), data.truth.mean()
    order = np.random.default_rng(0).permutation(len(ids))
    tables = []
    for name, at in (("straight", np.arange(len(ids))), ("moved", order)):
        write(tmp_path / "p.npz", [ids[k] for k in at], values[at])
        harness("run", *words, "--encoder", "file:p.npz", "--out", name, "--no-report")
        (folder,) = (tmp_path / name).iterdir()
        tables.append((folder / "scores.parquet").read_bytes())
    assert tables[0] == tables[1]


def test_permuted_ids_are_caught_and_a_clean_twin_is_not(harness, tmp_path, words, data):
    ids, values = list(data.test.stimuli.ids), data.truth.mean()
    flags = {}
    for name, names in (("clean", ids), ("permuted", ids[5:] + ids[:5])):
        write(tmp_path / "p.npz", names, values)
        done = harness("run", *words, "--encoder", "file:p.npz", "--out", name)
        (folder,) = (tmp_path / name).iterdir()
        flags[name] = {f["name"] for f in json.loads((folder / "run.json").read_text())["flags"]}
        assert ("misaligned-ids" in done.stdout) == (name == "permuted")
    assert "misaligned-ids" in flags["permuted"]
    assert "misaligned-ids" not in flags["clean"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda ids, v: (ids[:-1], v), "15 ids for 16 predictions"),
        (lambda ids, v: ([ids[0], *ids[:-1]], v), "occurs more than once"),
        (lambda ids, v: (ids, v[:, :-1]), "holds 39 voxels; toy01 has 40"),
        (lambda ids, v: ([f"x{i}" for i in ids], v), "no prediction for 16 of 16 test images"),
        (lambda ids, v: (ids, np.full_like(v, np.nan)), "NaN or infinity"),
        (lambda ids, v: (ids, v[:, :, None, None]), "expected (images, voxels)"),
        (lambda ids, v: (ids, v.astype("U9")), "expected numbers"),
    ],
)
def test_bad_predictions_are_one_line(harness, tmp_path, words, data, spoil, message):
    ids, values = spoil(list(data.test.stimuli.ids), data.truth.mean())
    write(tmp_path / "p.npz", ids, values)
    done = harness("run", *words, "--encoder", "file:p.npz", check=False)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert message in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_pickled_and_torn_files_are_refused(tmp_path, data):
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "p.ids.txt").write_text("a\n")
    with pytest.raises(DataError, match="pickled"):
        read_predictions(tmp_path / "p.npy")
    for suffix in (".npz", ".h5", ".npy"):
        path = tmp_path / f"q{suffix}"
        write(path, data.test.stimuli.ids, data.truth.mean())
        content = path.read_bytes()
        for cut in (0, 10, len(content) // 2, len(content) - 40):
            path.write_bytes(content[:cut])
            with pytest.raises(DataError):
                read_predictions(path)


def test_ids_are_asked_for(tmp_path):
    np.save(tmp_path / "p.npy", np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"p\.ids\.txt"):
        read_predictions(tmp_path / "p.npy")


def save_images(folder, ids, images):
    folder.mkdir(parents=True)
    for name, image in zip(ids, images):
        Image.fromarray(image).save(folder / f"{name}.png")


def test_a_folder_of_reconstructions_is_scored_with_its_controls(harness, tmp_path, words, data):
    stimuli = data.test.stimuli
    save_images(tmp_path / "recons", stimuli.ids, stimuli.images())
    harness("score", "recons", *words[:2], *words[4:])
    run = only_run(tmp_path)
    pixcorr = run.scores[run.scores.metric == "pixcorr@1"].groupby("row").value.mean()
    assert pixcorr["reconstructions"] == pytest.approx(1)
    assert {"shuffled", "mean-image", "flat-grey", "nearest-train-measured"} <= set(pixcorr.index)
    assert pixcorr["shuffled"] < 0.5


def test_a_folder_may_stand_for_the_decoder(harness, tmp_path, words, data):
    stimuli = data.test.stimuli
    save_images(tmp_path / "r" / "predicted", stimuli.ids, stimuli.images()[:, ::-1])
    save_images(tmp_path / "r" / "measured", stimuli.ids, stimuli.images())
    write(tmp_path / "p.npz", stimuli.ids, data.truth.mean())
    harness("run", *words[:2], *words[4:], "--encoder", "file:p.npz", "--decoder", "folder:r")
    run = only_run(tmp_path)
    assert {("predicted", "measured"), ("measured", "stimulus")} <= set(
        zip(run.scores.row, run.scores.target)
    )


def test_bad_folders(tmp_path, data):
    stimuli = data.test.stimuli
    with pytest.raises(DataError, match="is not a folder"):
        ReconstructionFolder(str(tmp_path / "none")).rows(stimuli, flat_row="predicted")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        ReconstructionFolder(str(tmp_path / "empty")).rows(stimuli, flat_row="predicted")
    save_images(tmp_path / "some", stimuli.ids[:5], stimuli.images()[:5])
    with pytest.raises(DataError, match=r"lacks 11 of 16 test images; expected files such as test-005\.png"):
        ReconstructionFolder(str(tmp_path / "some")).rows(stimuli, flat_row="predicted")
    save_images(tmp_path / "sizes", stimuli.ids, stimuli.images())
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "sizes" / "test-003.png")
    rows = ReconstructionFolder(str(tmp_path / "sizes")).rows(stimuli, flat_row="predicted")
    with pytest.raises(DataError, match=r"test-003\.png is 4x4; test-000\.png is 8x8"):
        rows["predicted"].images()
    (tmp_path / "sizes" / "test-003.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="cannot be read as an image"):
        rows["predicted"].images()
    shutil.copy(tmp_path / "sizes" / "test-001.png", tmp_path / "sizes" / "test-001.jpg")
    with pytest.raises(DataError, match="there twice"):
        ReconstructionFolder(str(tmp_path / "sizes")).rows(stimuli, flat_row="predicted")
