"""``harness predict``: a fitted encoder sees new images, and the file says all that is known of them."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import unquote

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from commands import TOYS
from PIL import Image
from toy_runs import toy_run
from toys import SIDE, ToyBenchmark, ToyEncoder, scenes

from harness.cli.predict import predict
from harness.errors import ConfigError, DataError, HarnessError, SpaceMismatch
from harness.plugins import find
from harness.run.predictions import Predictions, ReadyEncoder, write_predictions
from harness.stages.model import Model
from harness.stages.precomputed import read_predictions

LOUDER = f"""
import sys
from dataclasses import dataclass, field
sys.path.insert(0, {str(TOYS.parent)!r})
from toys import ToyEncoder


class Louder(ToyEncoder):
    @dataclass(frozen=True)
    class Params(ToyEncoder.Params):
        gain: float = field(default=1.0, metadata={{"fit": False}})

    def predict(self, *given, **named):
        return self.params.gain * super().predict(*given, **named)
"""
VALUES = {"run": {"metrics": ["voxel-r"], "samples": 2}, "benchmark": {"n_test": 4}}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store, a run of ridge in it, one of a plugin in a file, and five images."""
    folder = tmp_path_factory.mktemp("predict")
    toy_run(folder / "ridge", folder / "store", VALUES, encoder="ridge")
    toy_run(folder / "toy", folder / "store", VALUES)
    (folder / "images").mkdir()
    for k, image in enumerate(scenes(4, seed=9)):
        Image.fromarray(image).save(folder / "images" / f"new-{k}.png")
    Image.new("RGB", (SIDE * 3, SIDE * 2), (255, 0, 255)).save(folder / "images" / "odd.png")
    return folder


def called(place, model, *words, name="p.h5"):
    """What the command writes; its error is raised."""
    file = place / name
    given = [model, place / "images", "--out", file, "--store", place / "store", *words]
    done = CliRunner().invoke(predict, [str(word) for word in given])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    with h5py.File(file) as opened:
        arrays = {key: opened[key][()] for key in opened if isinstance(opened[key], h5py.Dataset)}
        return arrays, dict(opened.attrs), done.output


def key_of(run):
    return json.loads((run / "run.json").read_text())["artifacts"]["encoder"]


def test_a_run_predicts_what_its_encoder_would(place):
    arrays, attributes, output = called(place, place / "toy", "--own-code", "--seed", "3")
    assert [name.decode() for name in arrays["ids"]] == ["new-0", "new-1", "new-2", "new-3", "odd"]
    assert arrays["predictions"].shape == (5, 2, 40)
    assert not np.allclose(arrays["predictions"][:, 0], arrays["predictions"][:, 1])
    subject = ToyBenchmark(ToyBenchmark.Params(n_test=4)).load("toy01")
    encoder = ToyEncoder(ToyEncoder.Params(noise=0.0))
    encoder.fit([subject.training()], None, seed=0, device="cpu", checkpoint_dir=None)
    flat = scenes(4, seed=9).reshape(4, -1) / 255.0 - 0.5
    expected = np.hstack([flat, np.ones((4, 1))]) @ encoder.weights
    assert np.abs(arrays["predictions"][:4].mean(axis=1) - expected).max() < 0.5
    assert attributes["subject"] == "toy01"
    assert attributes["space"] == subject.space.sha
    assert attributes["seed"] == 3
    assert attributes["simulated"]
    assert json.loads(attributes["params"]) == {"ridge": 1.0, "noise": 0.1}
    assert np.allclose(arrays["noise_ceiling"], 1 / (1 + 1 / 3))
    assert "simulated, not brain data" in output


def test_what_is_written_is_read_as_predictions_again(place):
    arrays, _, _ = called(place, place / "ridge")
    ids, values = read_predictions(place / "p.h5")
    assert ids == tuple(name.decode() for name in arrays["ids"])
    assert np.array_equal(values, arrays["predictions"])


@pytest.mark.parametrize("name", ["p.npz", "p.csv", "p"])
def test_another_ending_than_what_is_written_is_refused_with_one_that_works(place, name):
    with pytest.raises(ConfigError, match=r"what is written is \.h5 or \.hdf5; give .*p\.h5$"):
        called(place, place / "ridge", name=name)
    assert not (place / name).exists()
    with pytest.raises(ConfigError, match=r"is a folder; give a file in it, for example .*predictions\.h5$"):
        called(place, place / "ridge", name="images")


def test_regions_of_any_name_are_written(tmp_path):
    names = ("V1", "V1/V2", "..", ".", "a%2F", "/", "V 4\0")
    space = replace(ToyBenchmark(ToyBenchmark.Params()).load("toy01").space, groups={})
    members = {name: np.arange(space.n_voxels) % (k + 2) == 0 for k, name in enumerate(names)}
    space = replace(space, rois=members)
    model = Model(find("encoders", "ridge"), None, "", "", "cpu")
    few = Predictions(("a",), np.zeros((1, 1, space.n_voxels), np.float32), None, None)
    write_predictions(tmp_path / "p.h5", ReadyEncoder(model, space), few, seed=0)
    with h5py.File(tmp_path / "p.h5") as opened:
        rois = {name: opened["rois"][name][()] for name in opened["rois"]}
    assert {unquote(name) for name in rois} == set(names)
    assert all((rois[name] == members[unquote(name)]).all() for name in rois)


def test_predictions_in_units_that_nothing_leads_to_are_refused_before_they_are_written(place):
    arrays, attributes, _ = called(place, place / "ridge", "--units", "zscore", name="z.h5")
    assert [name.decode() for name in arrays["units"]] == [attributes["units"]] == ["zscore"]
    with pytest.raises(SpaceMismatch, match="nothing known leads from units 'zscore' to 'raw/2000'"):
        called(place, place / "ridge", "--units", "raw/2000", name="none.h5")
    assert not (place / "none.h5").exists()
    with pytest.raises(ConfigError, match="unknown units of responses 'percents'; did you mean 'percent'"):
        called(place, place / "ridge", "--units", "percents", name="none.h5")


def test_a_distance_stands_beside_each_image(place):
    arrays, _, output = called(place, place / "ridge")
    plain, odd = arrays["novelty"][:4], arrays["novelty"][4]
    assert (plain < 2).all()
    assert odd > plain.max()
    assert arrays["novelty_share"][4] == 0
    assert "farther out than any of these" in output
    assert output.strip().endswith("odd")


def test_a_fit_is_named_by_its_key_with_its_data(place):
    expected, _, _ = called(place, place / "ridge")
    words = ("--benchmark", f"{TOYS}:ToyBenchmark", "--set", "benchmark.n_test=4")
    arrays, attributes, _ = called(place, key_of(place / "ridge")[:16], *words, name="q.h5")
    assert np.array_equal(arrays["predictions"], expected["predictions"])
    assert attributes["fit"] == key_of(place / "ridge")
    with pytest.raises(SpaceMismatch, match="is not of these training data of toy01"):
        called(place, key_of(place / "ridge"), *words, "--set", "benchmark.n_train=50")
    with pytest.raises(SpaceMismatch, match="is not of these training data of toy02"):
        called(place, key_of(place / "ridge"), *words, "--subject", "2")


def test_images_of_another_shape_are_cropped_or_stretched_as_asked(place):
    cropped, _, _ = called(place, place / "ridge")
    stretched, _, _ = called(place, place / "ridge", "--image-fit", "stretch")
    assert np.array_equal(cropped["predictions"][:4], stretched["predictions"][:4])
    # one colour all over is the same either way
    assert np.allclose(cropped["predictions"][4], stretched["predictions"][4], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("toy", ConfigError, "is not run; where the run is your own, add --own-code"),
        ("images", DataError, "is a folder without run.json; give the folder of a run"),
        ("nowhere", HarnessError, "there is no run in"),
        ("deadbeef", DataError, "holds no fit whose key begins with deadbeef"),
    ],
)
def test_what_is_no_model_is_refused_in_a_line(place, model, error, words):
    given = place / model if (place / model).exists() else model
    with pytest.raises(error, match=words) as problem:
        called(place, given)
    assert "\n" not in str(problem.value)


def test_a_fit_that_went_and_images_that_are_none_are_refused(place, tmp_path):
    with pytest.raises(DataError, match="does not hold the encoder that was fitted"):
        called(place, place / "ridge", "--store", str(tmp_path / "empty"))
    (tmp_path / "images").mkdir()
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    (tmp_path / "store").symlink_to(place / "store")
    with pytest.raises(DataError, match="two images called 'a'"):
        called(tmp_path, place / "ridge")
    (tmp_path / "images" / "a.png").unlink()
    (tmp_path / "images" / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        called(tmp_path, place / "ridge")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(DataError, match="holds no image file"):
        called(tmp_path, place / "ridge")


def test_one_fit_that_predicts_in_two_ways_does_so_here(place, tmp_path):
    """Runs that differ in what predictions alone read share the fit, not what is predicted."""
    file = place / "louder.py"
    file.write_text(LOUDER)
    predicted = []
    for gain in (1.0, 2.0):
        folder = place / f"gain-{gain}"
        values = {**VALUES, "encoder": {"gain": gain, "noise": 0.0}}
        toy_run(folder, place / "store", values, encoder=f"{file}:Louder", decoder=None)
        arrays, attributes, _ = called(place, folder, "--own-code")
        predicted.append(arrays["predictions"])
        assert attributes["fit"] == key_of(folder)
    assert key_of(place / "gain-1.0") == key_of(place / "gain-2.0")
    assert np.allclose(predicted[1], 2 * predicted[0], atol=1e-5)


def test_an_encoder_that_was_adapted_to_some_images_predicts(place):
    values = {"run": {"metrics": ["voxel-r"], "adapt_images": 30}, "benchmark": {"n_test": 4}}
    folder = place / "adapted"
    toy_run(folder, place / "store", values, encoder="ridge", subject="toy02", train_subjects=("toy01",))
    arrays, attributes, output = called(place, folder)
    assert attributes["subject"] == "toy02"
    assert np.isfinite(arrays["predictions"]).all()
    assert "median" in output  # the distance from the images that it was adapted to
    words = ("--benchmark", f"{TOYS}:ToyBenchmark", "--subject", "2", "--set", "benchmark.n_test=4")
    with pytest.raises(SpaceMismatch, match=r"--set run\.adapt_images=N"):
        called(place, key_of(folder), *words)
    again, _, _ = called(place, key_of(folder), *words, "--set", "run.adapt_images=30", name="q.h5")
    assert np.array_equal(arrays["predictions"], again["predictions"])
