"""Test sets that were measured apart: NSD's trials train, and another session's trials test."""

from __future__ import annotations

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io
from layout_experiment import SESSIONS, SUBJECT, elsewhere, experiment
from layout_files import save_betas
from layout_loading import file_of, load
from layout_writers import WRITERS
from nsd_writers import write_nsd, write_nsd_imagery, write_nsd_synthetic

from harness.api import ConfigError, DataError
from harness.benchmarks.layouts.nsd_imagery import TARGETS

NAMES = ("nsd-synthetic", "nsd-imagery")
TEST = {"nsd-synthetic": "synthetic284", "nsd-imagery": "vision"}


def pooled() -> tuple[np.ndarray, np.ndarray]:
    """(45,) mean and spread of the training sessions, by trials of images that are not shared."""
    exp = experiment()
    stored, means, variances = np.round(exp.betas * 300) / 300, [], []
    for session in range(1, SESSIONS + 1):
        trials = stored[(exp.session == session) & ~exp.is_shared]
        means.append(trials.mean(0))
        variances.append(trials.var(0))
    return np.mean(means, axis=0), np.sqrt(np.mean(variances, axis=0))


@pytest.mark.parametrize("name", NAMES)
def test_training_data_are_those_of_nsd(name, tmp_path):
    apart = load(name, WRITERS[name](tmp_path / name))
    core = load("nsd", write_nsd(tmp_path / "nsd"))
    assert apart.space.sha == core.space.sha
    assert apart.train.responses.sha == core.train.responses.sha
    assert apart.train.stimuli.image_hashes() == core.train.stimuli.image_hashes()


@pytest.mark.parametrize("scale", ["training", "own"])
def test_synthetic_trials_are_scaled_as_was_asked_and_show_their_pictures(scale, tmp_path, caplog):
    apart, root = elsewhere(), write_nsd_synthetic(tmp_path)
    data = load("nsd-synthetic", root, test_scale=scale)
    stored = np.round(apart.betas * 300) / 300
    mean, sd = pooled() if scale == "training" else (stored.mean(0), stored.std(0))
    assert [name.count("-") for name in data.test.stimuli.ids] == [1] * 9 + [2] * 3
    for k, name in enumerate(data.test.stimuli.ids):
        image = int(name.split("-")[1])
        trials = data.test.responses.trials()[data.test.responses.image_index == k]
        expected = (stored[apart.order == image] - mean) / sd
        np.testing.assert_allclose(trials, expected, atol=1e-4)
        picture = data.test.stimuli.images([name])[0].astype(float)
        assert np.abs(picture - apart.pictures[image]).mean() < 2
    flags = [getattr(record, "flag", "") for record in caplog.records]
    assert ("test-scales-itself" in flags) == (scale == "own")


def test_pictures_common_to_all_subjects_are_a_test_set(tmp_path):
    data = load("nsd-synthetic", write_nsd_synthetic(tmp_path), test="synthetic220")
    assert len(data.test) == 9
    assert not any(SUBJECT in name for name in data.test.stimuli.ids)


def test_pictures_without_gamma_are_as_they_are_stored(tmp_path):
    apart = elsewhere()
    data = load("nsd-synthetic", write_nsd_synthetic(tmp_path), gamma=1)
    stored = np.round((apart.pictures[0] / 255.0) ** 2 * 255)
    np.testing.assert_array_equal(data.test.stimuli.images(["nsdsynthetic-000"])[0], stored)


def _save_design(root, order):
    path = file_of("nsd-synthetic", "synthetic_design", root)
    scipy.io.savemat(path, {"masterordering": np.asarray(order, float)[None]})


def test_a_synthetic_design_that_counts_otherwise_is_refused(tmp_path):
    order, root = elsewhere().order, write_nsd_synthetic(tmp_path)
    _save_design(root, order)
    with pytest.raises(DataError, match="counts from 0"):
        load("nsd-synthetic", root)
    _save_design(root, order + 2)
    with pytest.raises(DataError, match="show images 1 to 12, counted from 0; there are 12"):
        load("nsd-synthetic", root)
    _save_design(root, order[:-1] + 1)
    with pytest.raises(DataError, match=r"has 24 synthetic_trials; nsdsynthetic_expdesign\.mat has 23"):
        load("nsd-synthetic", root)


def test_synthetic_pictures_of_another_type_are_refused(tmp_path):
    root = write_nsd_synthetic(tmp_path)
    path = file_of("nsd-synthetic", "color_stimuli", root, subject=SUBJECT)
    with h5py.File(path, "r+") as file:
        values = file["imgBrick"][()]
        del file["imgBrick"]
        file["imgBrick"] = values / 255
    with pytest.raises(DataError, match="holds float64; expected uint8"):
        load("nsd-synthetic", root)


@pytest.mark.parametrize(
    ("test", "count", "trials"), [("vision", 12, 2), ("imagery", 12, 4), ("imagery-simple", 6, 4)]
)
def test_betas_of_imagery_are_told_by_the_lists_of_runs(test, count, trials, tmp_path):
    """Attention has two betas a trial: whoever counts betas as trials reads 9.0, which only it has."""
    apart, root = elsewhere(), write_nsd_imagery(tmp_path)
    data = load("nsd-imagery", root, test=test)
    assert len(data.test) == count
    assert set(data.test.responses.counts()) == {trials}
    cues = [cue for pictures in TARGETS.values() for cue in pictures]
    mean, sd = pooled()
    share = 1.0 if test == "vision" else 0.5
    for k, name in enumerate(data.test.stimuli.ids):
        image = cues.index(name.removeprefix("nsdimagery-"))
        np.testing.assert_array_equal(data.test.stimuli.images([name])[0], apart.pictures[image])
        expected = (share * apart.betas[apart.order == image].mean(0) - mean) / sd
        np.testing.assert_allclose(data.test.responses.mean()[k], expected, atol=0.02)


def test_betas_of_imagery_without_those_of_attentions_cues_are_refused(tmp_path):
    root = write_nsd_imagery(tmp_path)
    path = file_of("nsd-imagery", "imagery_betas", root, subject=SUBJECT)
    values = np.asarray(nibabel.load(path).dataobj)
    save_betas(path, values[..., : 12 * 12])
    with pytest.raises(DataError, match="144 betas, and the lists of runs tell of 180"):
        load("nsd-imagery", root)


def test_a_run_list_of_another_set_or_none_is_refused(tmp_path):
    root = write_nsd_imagery(tmp_path)
    of_a, of_b = (
        file_of("nsd-imagery", "imagery_runs", root, subject=SUBJECT, run=run) for run in ("visA", "visB")
    )
    content = of_a.read_text()
    of_a.write_text(of_b.read_text())
    with pytest.raises(DataError, match="run visA of subj01 names the cue 'B'; set A has H, R"):
        load("nsd-imagery", root)
    of_a.write_text(content)
    of_b.unlink()
    with pytest.raises(DataError, match=r"there is no .*nsdimagery_subj01_visB\.tsv"):
        load("nsd-imagery", root)


def test_a_lost_picture_of_imagery_is_named(tmp_path):
    root = write_nsd_imagery(tmp_path)
    next(root.rglob("shared0741_nsd53882.png")).unlink()
    with pytest.raises(DataError, match="no picture for 1 of 12 images, for example 'shared0741_nsd53882'"):
        load("nsd-imagery", root)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_asked_of_a_test_set_apart(name, tmp_path):
    root = WRITERS[name](tmp_path)
    with pytest.raises(ConfigError, match="was measured apart; leave out split: trials"):
        load(name, root, split="trials")
    with pytest.raises(ConfigError, match=f"measured apart, so that test: names one of .*{TEST[name]}"):
        load(name, root, test="test_ids.txt")
    with pytest.raises(ConfigError, match=f"did you mean '{TEST[name]}'"):
        load(name, root, test=TEST[name][:-1])
    with pytest.raises(ConfigError, match="did you mean 'own'"):
        load(name, root, test_scale="owm")
