"""Models against measured RDMs: files in the published layout, the command, and the published figures."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner
from commands import SHARED
from paired_writers import write_matlab73
from toy_runs import toy_run

from harness.benchmarks.kriegeskorte import Kriegeskorte2008
from harness.cli.rsa import rsa
from harness.errors import ConfigError, DataError
from harness.metrics.rdms import label_rdm, rdm
from harness.run.similarities import MeasuredRdms, similarities

N = 12
RNG = np.random.default_rng(0)
SQUARE = np.triu_indices(N, 1)


def write(folder, *, seed=0):
    """Both files with twelve photographs; RDMs are of the first column of pixels, with noise."""
    rng = np.random.default_rng(seed)
    kind = [
        ("category", "O"),
        ("human", "O"),
        ("face", "O"),
        ("animal", "O"),
        ("natural", "O"),
        ("image", "O"),
    ]
    items = np.empty((1, N), kind)
    images = rng.integers(0, 256, (N, 9, 9, 3), dtype=np.uint8)
    for k in range(N):
        flag = np.array([[k % 2]], np.uint8)
        items[0, k] = (f"kind {k % 3}", flag * 0, flag, flag, flag, images[k])
    truth = rdm(images[:, :, 0], distance="euclidean")
    shown = np.empty((1, 2), [("name", "O"), ("RDM", "O")])
    shown[0, 0] = ("mIT_3neurons", truth[None] * 2)
    shown[0, 1] = ("hITvisStim", truth[None])
    scipy.io.savemat(folder / "t_92images.mat", {"stimuli_92objs": items, "RDMs_mIT_hIT_fig1": shown})
    measured = np.empty((1, 3, 2), [("RDM", "O"), ("name", "O")])
    for subject in range(3):
        for session in range(2):
            square = np.zeros((N, N))
            square[SQUARE] = truth + 0.3 * truth.std() * rng.standard_normal(len(truth))
            measured[0, subject, session] = (square + square.T, f"hIT | S{subject} | Session: {session + 1}")
    scipy.io.savemat(folder / "t_brain_rdms.mat", {"RDMs": measured})
    return images, truth


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rdms")
    return folder, *write(folder)


def called(folder, *words):
    given = [*words, "--set", f"benchmark.root={folder}", "--store", folder / "store"]
    wide = {"COLUMNS": "400"}  # no name of a long folder is folded
    done = CliRunner().invoke(rsa, [str(word) for word in given], catch_exceptions=False, env=wide)
    assert done.exit_code == 0, done.output
    lines = (line.split() for line in done.output.splitlines() if line.strip())
    return {words[0]: words[1:] for words in lines}


def test_the_files_are_read_in_order(place):
    folder, images, truth = place
    benchmark = Kriegeskorte2008(Kriegeskorte2008.Params(str(folder)))
    stimuli = benchmark.load("human").test.stimuli
    assert np.array_equal(stimuli.images(), images)
    assert list(stimuli.labels["category"][:3]) == ["kind 0", "kind 1", "kind 2"]
    measured = benchmark.rdms()
    assert {name: values.shape for name, values in measured.items()} == dict.fromkeys(
        ("S0", "S1", "S2"), (2, 66)
    )
    assert np.corrcoef(measured["S1"][1], truth)[0, 1] > 0.9
    assert np.allclose(benchmark.other_rdms()["monkey"], 2 * truth)


def test_models_of_every_form_stand_beside_the_ceiling(place):
    folder, images, _ = place
    ids = [f"image-{k + 1:03d}" for k in range(N)]
    order = RNG.permutation(N)
    columns = images[:, :, 0].reshape(N, -1).astype(np.float32)
    np.savez(folder / "p.npz", predictions=columns[order], ids=np.array(ids)[order])
    values = {"run": {"metrics": ["voxel-r"]}, "benchmark": {"n_test": 4}}
    toy_run(folder / "run", folder / "store", values, encoder="ridge")
    words = ("pixels:grey8", folder / "p.npz", folder / "run", "--distance", "euclidean")
    table = called(folder, *words)
    lower, upper = float(table["noise"][1]), float(table["noise"][3])
    assert lower < upper
    assert float(table[str(folder / "p.npz")][0]) == pytest.approx(upper, abs=0.03)
    assert float(table[str(folder / "p.npz")][1]) > 0.9
    assert float(table["monkey"][1]) == float(table[str(folder / "p.npz")][1])
    assert abs(float(table["label:animal"][1])) < 0.5
    assert {"pixels:grey8", str(folder / "run"), "label:category"} <= table.keys()
    assert "label:human" not in table  # all images have one value


def test_what_is_no_model_and_no_benchmark_of_rdms_is_refused(place, tmp_path):
    folder = place[0]
    for model, error, words in (
        ("nothing", ConfigError, "a layer is named BACKBONE:LAYER"),
        ("pixels:grey7", ConfigError, "did you mean 'grey"),
    ):
        with pytest.raises(error, match=words):
            called(folder, model)
    with pytest.raises(DataError, match=r"' lacks \*92images.* they are in github rsagroup"):
        called(tmp_path)
    with pytest.raises(DataError, match=r"^no folder is given that holds \*92images"):
        CliRunner().invoke(rsa, ["pixels:rgb16"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="has no measured RDMs"):
        CliRunner().invoke(rsa, ["--benchmark", "embedded"], catch_exceptions=False)
    (tmp_path / "x_92images.mat").write_bytes(b"x" * 200)
    (tmp_path / "x_brain_rdms.mat").write_bytes(b"x" * 200)
    with pytest.raises(DataError, match=r"x_92images\.mat cannot be read: .* damaged"):
        called(tmp_path)
    scipy.io.savemat(tmp_path / "x_92images.mat", {"stimuli": np.ones(3)})
    with pytest.raises(DataError, match="holds no 'stimuli_92objs'; it holds stimuli"):
        called(tmp_path)
    scipy.io.savemat(tmp_path / "x_92images.mat", {"stimuli_92objs": np.ones(3)})
    with pytest.raises(DataError, match="expected a structure array"):
        called(tmp_path)
    write_matlab73(tmp_path / "x_92images.mat", {"stimuli_92objs": np.ones((3, 1))})
    with pytest.raises(DataError, match=r"is of version 7\.3, whose structures are not read"):
        called(tmp_path)


@pytest.mark.skipif(
    not (SHARED / "data" / "kriegeskorte2008_92images.mat").is_file(), reason="no ../shared/data"
)
def test_the_published_figures_come_out():
    benchmark = Kriegeskorte2008(Kriegeskorte2008.Params(str(SHARED / "data")))
    measured = MeasuredRdms.of(benchmark, name="kriegeskorte2008")
    assert measured.ceiling() == pytest.approx((0.377, 0.672), abs=0.004)
    grey = measured.stimuli.images().astype(np.float64).mean(axis=3)
    lines = {
        line.model: line
        for line in similarities(measured, ["pixels"], lambda _: grey, distance="correlation")
    }
    assert lines["label:animal"].group == pytest.approx(0.59, abs=0.005)
    assert lines["pixels"].group == pytest.approx(0.03, abs=0.005)
    assert lines["monkey"].group == pytest.approx(0.44, abs=0.005)
    animals = label_rdm(measured.stimuli.labels["animal"])
    assert lines["label:animal"].subjects == pytest.approx(measured.line("x", animals).subjects)
    assert len(measured.stimuli) == 92
