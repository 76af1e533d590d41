"""Predictions in files: matched by id, or refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import call_harness
from given_files import FORMATS, write
from toys import ToyBenchmark

from harness.errors import DataError
from harness.stages.precomputed import read_predictions


def toy_data():
    return ToyBenchmark(ToyBenchmark.Params(n_test=16)).load("toy01")


@pytest.fixture
def data():
    return toy_data()


@pytest.fixture(scope="module")
def words(toy_words):
    return [*toy_words[:2], *toy_words[4:], "--set", "benchmark.n_test=16"]


def run_of(place, words, ids, values):
    """Run predictions `values` of images `ids` in the folder `place`: its folder, and what it prints."""
    write(place / "p.npz", ids, values)
    done = call_harness(place, "run", *words, "--encoder", "file:p.npz", "--no-report")
    (folder,) = (place / "runs").iterdir()
    return folder, done.stdout


@pytest.fixture(scope="module")
def straight(tmp_path_factory, words):
    """The run of the noise-free truth as predictions, in the benchmark's order."""
    data = toy_data()
    return run_of(tmp_path_factory.mktemp("straight"), words, data.test.stimuli.ids, data.truth.mean())


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_forms_say_the_same(tmp_path, data, suffix):
    values = data.test.responses.mean()
    write(tmp_path / f"p{suffix}", data.test.stimuli.ids, values)
    ids, read = read_predictions(tmp_path / f"p{suffix}")
    assert ids == data.test.stimuli.ids
    np.testing.assert_array_equal(read[:, 0], values)


def test_rows_are_matched_by_id_not_by_position(tmp_path, words, data, straight):
    ids, values = list(data.test.stimuli.ids), data.truth.mean()
    order = np.random.default_rng(0).permutation(len(ids))
    moved = run_of(tmp_path, words, [ids[k] for k in order], values[order])
    tables = [(folder / "scores.parquet").read_bytes() for folder, _ in (straight, moved)]
    assert tables[0] == tables[1]


def test_permuted_ids_are_caught_and_a_clean_twin_is_not(tmp_path, words, data, straight):
    ids, values = list(data.test.stimuli.ids), data.truth.mean()
    permuted = run_of(tmp_path, words, ids[5:] + ids[:5], values)
    flags = {}
    for name, (folder, printed) in (("clean", straight), ("permuted", permuted)):
        flags[name] = {f["name"] for f in json.loads((folder / "run.json").read_text())["flags"]}
        assert ("misaligned-ids" in printed) == (name == "permuted")
    assert "misaligned-ids" in flags["permuted"]
    assert "misaligned-ids" not in flags["clean"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda ids, v: (ids[:-1], v), "15 ids for 16 predictions"),
        (lambda ids, v: ([ids[0], *ids[:-1]], v), "occurs more than once"),
        (lambda ids, v: (ids, v[:, :-1]), "holds 39 voxels; toy01 has 40"),
        (lambda ids, v: ([f"x{i}" for i in ids], v), "no prediction for 16 of 16 images"),
        (
            lambda ids, v: (ids, np.where(np.arange(v.shape[1]) == 3, np.float64(1e300), v)),
            "predicted NaN or infinity (in float32) for toy01: 16 of 640 values, first in voxel 3 of image",
        ),
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


def test_missing_predictions_are_counted_over_all_test_images(harness, tmp_path, words, data):
    ids, kept = list(data.test.stimuli.ids), [1, 2, 4, 5, 6, 8, 9, 11, 12, 14]
    write(tmp_path / "p.npz", [ids[k] for k in kept], data.truth.mean()[kept])
    batches = ("--set", "run.micro_batch=4")
    done = harness("run", *words, "--encoder", "file:p.npz", *batches, check=False)
    assert done.returncode == 2
    assert f"no prediction for 6 of 16 images (first: '{ids[0]}'" in done.stderr


def test_pickled_and_torn_files_are_refused(tmp_path, data):
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "p.ids.txt").write_text("a\n")
    with pytest.raises(DataError, match="pickled"):
        read_predictions(tmp_path / "p.npy")
    for suffix in FORMATS:
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
