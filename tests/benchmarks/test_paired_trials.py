"""Trials that were not measured, copies of pictures and noise ceilings in a user's files."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml

from harness.api import ConfigError, DataError
from harness.benchmarks.paired import Paired
from harness.settings import resolve_params
from harness.stages.data import check_subject

N, N_TEST, V = 12, 4, 6
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, 4, 4, 3), np.uint8)
BETAS = RNG.normal(size=(N, V))
KEYS = {"train": {"images": "a", "responses": "ya"}, "test": {"images": "b", "responses": "yb"}}


def load(folder, *, ya=BETAS[:-N_TEST], yb=BETAS[-N_TEST:], a=IMAGES[:-N_TEST], b=IMAGES[-N_TEST:], **given):
    """`paired` data of the arrays given; other arrays by name under ``arrays``."""
    np.savez(folder / "d.npz", ya=ya, yb=yb, a=a, b=b, **given.pop("arrays", {}))
    common = {"base_dir": str(folder), "file": "d.npz", "units": "raw", "image_layout": "nhwc"}
    data = Paired(resolve_params(Paired.Params, common | KEYS | given, section="benchmark")).load("subj01")
    check_subject(data)
    return data


def applied(message: str) -> dict:
    """The keys that a message says to type: every ``key: value`` after ``add`` or ``type``."""
    pairs = re.findall(r"([a-z_]+): (\[[^\]]*\]|[\w.]+)", re.split(r"\badd |\btype ", message, maxsplit=1)[1])
    return {key: yaml.safe_load(value) for key, value in pairs}


def lost(row: int | slice, value: float) -> np.ndarray:
    betas = BETAS[:-N_TEST].copy()
    betas[row] = value
    return betas


def flagged(caplog) -> list[str]:
    return [record.flag for record in caplog.records if hasattr(record, "flag")]


@pytest.mark.parametrize("layout", ["trials-first", "voxels-first", "images-repeats-voxels"])
def test_a_trial_of_nan_is_left_out_in_any_layout(tmp_path, caplog, layout):
    ya, yb = lost(3, np.nan), BETAS[-N_TEST:]
    turned = {
        "trials-first": lambda y: y,
        "voxels-first": lambda y: y.T,
        "images-repeats-voxels": lambda y: y[:, None],
    }[layout]
    data = load(tmp_path, ya=turned(ya), yb=turned(yb), responses_layout=layout)
    assert len(data.train) == N - N_TEST - 1
    assert "train-0003" not in data.train.stimuli.ids
    assert data.space.n_valid == V
    kept = np.delete(BETAS[:-N_TEST], 3, axis=0).astype(np.float32)
    np.testing.assert_array_equal(data.train.responses.trials(), kept)
    assert (
        "1 of 8 trials of 'ya' of d.npz is NaN in every voxel (first, from 0: 3) and left out" in caplog.text
    )
    assert flagged(caplog) == ["trials-not-measured"]


def test_a_trial_of_nan_does_not_hide_voxels_of_nan(tmp_path):
    ya = lost(3, np.nan)
    ya[5, 2] = np.nan
    with pytest.raises(DataError, match="1 of 6 voxels hold NaN") as problem:
        load(tmp_path, ya=ya)
    data = load(tmp_path, ya=ya, **applied(str(problem.value)))
    assert (data.space.n_valid, len(data.train)) == (V - 1, N - N_TEST - 1)


def test_trials_of_zeros_are_refused_and_left_out_when_asked(tmp_path, caplog):
    ya, yb = lost(slice(5, 8), 0), BETAS[-N_TEST:].copy()
    yb[0] = 0
    words = r"train: 3 of 8 trials of 'ya' of d\.npz are 0 in every voxel \(first, from 0: 5, 6, 7\)"
    with pytest.raises(DataError, match=words) as problem:
        load(tmp_path, ya=ya, yb=yb)
    hint = applied(str(problem.value))
    assert hint == {"exclude": ["zero"]}
    data = load(tmp_path, ya=ya, yb=yb, **hint)
    assert (len(data.train), len(data.test)) == (5, N_TEST - 1)
    assert flagged(caplog) == ["trials-not-measured"] * 2
    with pytest.raises(DataError, match=r"train: all 8 trials of .* are 0 or NaN in every voxel"):
        load(tmp_path, ya=ya * 0, **hint)


def test_a_zero_here_and_there_is_a_measurement(tmp_path, caplog):
    load(tmp_path, ya=np.where(BETAS[:-N_TEST] < 0, 0, BETAS[:-N_TEST]))
    one_voxel = np.array([[0.0], [1], [2], [0], [1], [3], [1], [2]])
    load(tmp_path, ya=one_voxel, yb=one_voxel[:N_TEST])
    assert caplog.text == ""


def test_ncsnr_that_is_nan(tmp_path):
    snr = np.array([0.5, np.nan, 0.4, 0.3, np.inf, 0.2])
    given = {"arrays": {"nc": snr}, "ncsnr": "nc"}
    with pytest.raises(
        DataError, match=r"2 of 6 voxels have a noise ceiling that is NaN or inf.*: 1, 4\)"
    ) as it:
        load(tmp_path, **given)
    space = load(tmp_path, **given, **applied(str(it.value))).space
    assert space.valid.tolist() == [True, False, True, True, False, True]
    assert space.ncsnr.tolist() == [0.5, 0, 0.4, 0.3, 0, 0.2]
    assert space.ncsnr_source.trials == "ncsnr of the user (nc)"


def test_a_ceiling_in_percent_given_as_ncsnr(tmp_path):
    snr, repeats = np.array([0.1, 0.3, 0.5, 0.8, 1.5, 0.0]), 3
    percent = 100 * snr**2 / (snr**2 + 1 / repeats)
    arrays = {"arrays": {"nc": percent, "share": percent / 100}}
    with pytest.raises(
        DataError, match=r"holds values up to 87\.1; expected 0 to 10; if these are noise"
    ) as it:
        load(tmp_path, **arrays, ncsnr="nc")
    hint = applied(str(it.value)) | {"noise_ceiling_trials": repeats}
    space = load(tmp_path, **arrays, **hint).space
    np.testing.assert_allclose(space.ncsnr, snr, atol=1e-12)
    np.testing.assert_allclose(space.noise_ceiling(np.full(9, repeats)), percent / 100)
    assert space.ncsnr_source.trials == "noise ceilings of the user for means of 3 trials (nc)"
    # Shares of 1 for percent and the other way round, each told and mended by what is said.
    for key, white in (("share", 100), ("nc", 1)):
        given = {"noise_ceiling": key, "noise_ceiling_max": white, "noise_ceiling_trials": repeats}
        with pytest.raises(DataError, match="noise_ceiling_max") as it:
            load(tmp_path, **arrays, **given)
        space = load(tmp_path, **arrays, **given | applied(str(it.value))).space
        np.testing.assert_allclose(space.ncsnr, snr, atol=1e-12)


def test_a_perfect_ceiling_stays_finite_and_an_unknown_one_is_masked(tmp_path):
    given = {"noise_ceiling": "nc", "noise_ceiling_max": 100, "noise_ceiling_trials": 1, "exclude": ["nan"]}
    space = load(tmp_path, arrays={"nc": np.array([100, 50, np.nan, 0, 20, 30.0])}, **given).space
    assert space.ncsnr[0] == pytest.approx(1000, rel=1e-3)
    assert space.ncsnr[[1, 3]].tolist() == [1, 0]
    assert space.valid.tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"noise_ceiling": "nc"}, "noise_ceiling_max is None; type 100 where"),
        ({"noise_ceiling": "nc", "noise_ceiling_max": 100}, "noise_ceiling_trials is None; type how many"),
        ({"noise_ceiling_max": 100}, "add noise_ceiling: KEY"),
        ({"noise_ceiling": "nc", "ncsnr": "nc"}, "say the same in two ways; keep one"),
    ],
)
def test_half_a_ceiling_says_what_is_missing(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, **given)


def test_pictures_listed_once_a_trial_are_images_of_several_trials(tmp_path, caplog):
    shown = np.array([0, 1, 2, 1, 0, 2, 0, 1, 2])
    pictures = IMAGES[-3:]
    yb = RNG.normal(size=(9, V))
    data = load(tmp_path, b=pictures[shown], yb=yb, a=IMAGES[:8])
    assert data.test.stimuli.ids == ("test-0000", "test-0001", "test-0002")
    np.testing.assert_array_equal(data.test.stimuli.images(), pictures)
    assert data.test.responses.counts().tolist() == [3, 3, 3]
    np.testing.assert_allclose(
        data.test.responses.mean(), [yb[shown == k].mean(axis=0) for k in range(3)], rtol=1e-5
    )
    assert data.space.ncsnr_source.trials == "9 trials of 3 test images"
    assert "holds 9 images without ids, of 3 different pictures" in caplog.text
    assert flagged(caplog) == ["copies-are-trials"]
    # The hint: with ids each copy is an image of its own.
    ids = {"train": KEYS["train"], "test": KEYS["test"] | {"ids": "i"}}
    names = np.array([f"t{k}" for k in range(9)])
    apart = load(tmp_path, b=pictures[shown], yb=yb, a=IMAGES[:8], arrays={"i": names}, **ids)
    assert len(apart.test) == 9


def test_different_pictures_stay_as_they_are(tmp_path, caplog):
    data = load(tmp_path)
    assert len(data.test) == N_TEST
    assert caplog.text == ""
