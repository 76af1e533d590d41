"""Bad input: one clear line, a non-zero exit, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from commands import HELPERS
from toys import ToyBenchmark

from harness.data import Responses, Split, Stimuli, VoxelSpace
from harness.errors import DataError, SpaceMismatch
from harness.stages.checks import check_subject
from harness.storage.store import SCHEMA


@pytest.fixture
def data():
    return ToyBenchmark(ToyBenchmark.Params(n_test=16)).load("toy01")


def refused(done, message: str) -> None:
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoder", "rigde", "--decoder", "linear"], "did you mean 'ridge'"),
        (["--encoder", "ridge", "--decoder", "liner"], "did you mean 'linear'"),
        (["--encoder", "ridge"], "--decoder is missing"),
        ([], "give at least one of --encoder and --decoder"),
        (["--encoder", "ridge", "--decoder", "linear", "--subject", "subj1"], "did you mean 'subj01'"),
        (["--encoder", "ridge", "--decoder", "linear", "--set", "encoder.alpa=3"], "did you mean 'alphas'"),
        (["--encoder", "ridge", "--decoder", "linear", "--metrics", "pixcor"], "did you mean 'pixcorr'"),
        (["--encoder", "ridge", "--decoder", "linear", "--device", "gpu"], "expected cpu, cuda"),
        (["--encoder", "ridge", "--decoder", "linear", "--adapter", "nome"], "run.adapter"),
        (["--encoder", "file:absent.npz", "--decoder", "linear"], "there is no file"),
        (["--encoder", "absent.py:X", "--decoder", "linear"], "there is no file"),
        (["--encoder", "ridge", "--decoder", "linear", "--config", "absent.yaml"], "there is no file"),
        (["--benchmark", "embeded", "--encoder", "ridge", "--decoder", "linear"], "did you mean 'embedded'"),
        (["--encodr", "ridge"], "Did you mean one of"),
    ],
)
def test_commands(harness, tmp_path, words, message):
    refused(harness("run", *words, check=False), message)
    assert not (tmp_path / "runs").exists()


def test_weights_missing_offline(harness, toy_words):
    words = [
        "--encoder",
        "ridge",
        "--set",
        "encoder.backbone=alexnet",
        "--set",
        "encoder.layers=[features.5]",
    ]
    done = harness("run", *toy_words[:2], *toy_words[4:], *words, HARNESS_OFFLINE="1", check=False)
    refused(done, "harness prefetch alexnet")


def test_a_store_of_a_newer_schema(harness, tmp_path, toy_words):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text(json.dumps({"schema": SCHEMA + 1}))
    refused(harness("run", *toy_words, check=False), "pip install -U fmri-harness")


def test_a_store_that_is_a_file(harness, tmp_path, toy_words):
    (tmp_path / "store").write_text("")
    refused(harness("run", *toy_words, check=False), "is not a folder")


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a file system that refuses to be written")
def test_a_store_that_cannot_be_written(harness, toy_words):
    done = harness("run", *toy_words, "--store", "/sys/kernel/harness", check=False)
    refused(done, "/sys/kernel/harness cannot be written")


@pytest.mark.parametrize("when", ["decode", pytest.param("fit", marks=pytest.mark.slow)])
def test_no_space_left_and_then_some(harness, tmp_path, toy_words, when):
    """The disk is full at one stage; with space again the same command goes on and ends well."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            f"""
            import errno, numpy, os
            real = numpy.save
            def save(file, *more, **named):
                if os.environ.get("FULL_DISK") and "/tmp/" in str(file) and FIRST[0] in str(more[0].shape):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(file, *more, **named)
            FIRST = [{"'8, 8, 3'" if when == "decode" else "'193, 40'"}]
            numpy.save = save
            """
        )
    )
    done = harness("run", *toy_words, "--no-report", check=False, FULL_DISK="1", PYTHONPATH=str(tmp_path))
    refused(done, "no space left")
    assert not (tmp_path / "runs").exists()
    assert not list((tmp_path / "store" / "tmp").iterdir())
    harness("run", *toy_words, "--no-report", PYTHONPATH=str(tmp_path))


def test_a_plugin_that_raises_is_named(harness, tmp_path, toy_words):
    folder = str(HELPERS)
    (tmp_path / "bad.py").write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {folder!r})
            from toys import ToyEncoder

            class Bad(ToyEncoder):
                def fit(self, *args, **named):
                    raise ZeroDivisionError("by zero")

            class Short(ToyEncoder):
                def predict(self, *args, **named):
                    return super().predict(*args, **named)[:, :, 1:]
            """
        )
    )
    words = [*toy_words[:2], *toy_words[4:]]
    refused(
        harness("run", *words, "--encoder", "bad.py:Bad", check=False),
        "fails while fitting: ZeroDivisionError",
    )
    refused(harness("run", *words, "--encoder", "bad.py:Short", check=False), "expected (8, 1, 40)")


def spoiled(responses: Responses, change) -> Responses:
    trials = np.array(responses.trials())
    change(trials)
    return Responses(responses.space, responses.ids, trials, responses.image_index)


def constant(trials: np.ndarray) -> None:
    trials[:, 3] = 7


def nan(trials: np.ndarray) -> None:
    trials[5, [2, 9]] = np.nan


@pytest.mark.parametrize(
    ("change", "message"), [(constant, "1 voxels are constant (first: 3)"), (nan, "2, 9")]
)
def test_nan_and_constant_voxels(data, change, message):
    bad = replace(data, train=Split(data.train.stimuli, spoiled(data.train.responses, change)))
    with pytest.raises(DataError) as problem:
        check_subject(bad)
    assert message in str(problem.value)


def test_masked_voxels_are_excused(data):
    valid = np.ones(40, bool)
    valid[[2, 3, 9]] = False
    space = replace(data.space, valid=valid)

    def moved(responses, *changes):
        for change in changes:
            responses = spoiled(responses, change)
        return Responses(space, responses.ids, responses.data, responses.image_index)

    train = Split(data.train.stimuli, moved(data.train.responses, nan, constant))
    test = Split(data.test.stimuli, moved(data.test.responses))
    check_subject(replace(data, space=space, train=train, test=test, truth=None, remeasured=None))
    assert space.n_valid == 37


def images(values: np.ndarray) -> Stimuli:
    return Stimuli.from_array([f"i{k}" for k in range(len(values))], values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 8, 8), np.uint8), "expected (height, width, 3)"),
        (np.zeros((2, 8, 8, 4), np.uint8), "expected (height, width, 3)"),
        (np.zeros((2, 8, 8, 3), np.int64), "expected uint8, or float"),
        (np.full((2, 8, 8, 3), 255.0), "outside [0, 1]"),
        (np.full((2, 8, 8, 3), np.nan), "outside [0, 1]"),
    ],
)
def test_images_of_the_wrong_shape_or_type(data, values, message):
    stimuli = images(values)
    responses = Responses.single(data.space, stimuli.ids, data.truth.mean()[:2])
    with pytest.raises(DataError) as problem:
        check_subject(replace(data, train=Split(stimuli, responses)))
    assert message in str(problem.value)


def test_ids_doubled_missing_or_overlapping(data):
    with pytest.raises(DataError, match="'a' occurs more than once"):
        Stimuli.from_array(["a", "b", "a"], np.zeros((3, 2, 2, 3), np.uint8))
    with pytest.raises(DataError, match="no image has the id 'x'"):
        data.test.stimuli.images(["x"])
    with pytest.raises(DataError, match="in both train and test"):
        check_subject(replace(data, train=data.test))
    with pytest.raises(DataError, match="ids of images and responses differ"):
        Split(data.test.stimuli, data.train.responses)


def test_mixing_spaces_fails_before_any_sum(data):
    other = ToyBenchmark(ToyBenchmark.Params(voxels=41)).load("toy01")
    with pytest.raises(SpaceMismatch, match="n_voxels is 41, expected 40"):
        data.space.require(other.space, what="test")
    with pytest.raises(SpaceMismatch, match="expected \\(16 trials, 40 voxels\\)"):
        Responses(data.space, data.test.stimuli.ids, np.zeros((16, 39)), np.arange(16))
    with pytest.raises(DataError, match="ROI 'V1'"):
        VoxelSpace("d", "s", "m", 4, "raw", "x", rois={"V1": np.ones(3, bool)})
