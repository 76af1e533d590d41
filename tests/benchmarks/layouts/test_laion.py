"""LAION-fMRI as it goes wrong in practice."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from layout_experiment import N_OWN, experiment
from layout_loading import file_of, load
from other_writers import write_laion

from harness.api import ConfigError, DataError
from harness.benchmarks.layouts.laion import read_split
from harness.benchmarks.layouts.manifest import read_manifest

SUBJECT = "sub-01"


@pytest.fixture
def root(tmp_path):
    return write_laion(tmp_path / "root")


def test_a_bundled_split_says_what_trains_and_what_takes_no_part(root):
    whole, shared = load("laion-fmri", root), load("laion-fmri", root, test="shared/tau")
    assert whole.test.stimuli.ids == shared.test.stimuli.ids
    assert (len(whole.train), len(shared.train)) == (N_OWN, N_OWN - 4)
    with pytest.raises(ConfigError, match="did you mean 'tau'"):
        load("laion-fmri", root, test="tua")


def test_ceilings_of_the_mean_of_twelve_become_those_of_a_trial(root):
    """60 % of the mean of 12: ncsnr² = .6 / .4 / 12."""
    space = load("laion-fmri", root).space
    np.testing.assert_allclose(space.ncsnr, np.sqrt(0.6 / 0.4 / 12), rtol=1e-6)
    np.testing.assert_array_equal(space.rois["V1"], experiment().labels == 1)


def test_sessions_keep_their_numbers(root):
    assert set(load("laion-fmri", root).train.responses.session) == {1, 2, 4, 5}


def test_a_list_that_does_not_fit_its_volumes_is_refused(root):
    path = file_of("laion-fmri", "trials", root, subject=SUBJECT, session="02")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match="beta_index is not 0 to 25, each once"):
        load("laion-fmri", root)
    path.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    with pytest.raises(DataError, match=r"has 27 volumes and .* lists 26"):
        load("laion-fmri", root)
    path.unlink()
    with pytest.raises(DataError, match="has no list of trials beside it"):
        load("laion-fmri", root)


def test_pictures_go_by_name_and_not_by_row(root):
    path = file_of("laion-fmri", "stimulus_names", root)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match="lists no picture for 1 labels"):
        load("laion-fmri", root)


def test_pictures_that_are_no_bytes_of_files_are_refused(root):
    with h5py.File(file_of("laion-fmri", "stimuli", root), "w") as file:
        file["images"] = np.zeros((36, 8, 8, 3), np.uint8)
    with pytest.raises(DataError, match="has no 'images' of 36 rows of bytes"):
        load("laion-fmri", root)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"variants": [{"test_ids": ["a"]}]}',
        '{"variants": [{"test_ids": "a", "train_ids": ["b"]}]}',
        '{"variants": [{"test_ids": [1], "train_ids": ["b"]}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_split_is_refused(content, tmp_path):
    path = tmp_path / "tau.json"
    path.write_text(content)
    with pytest.raises(DataError, match="is no split of laion_fmri"):
        read_split(path)


def test_a_split_with_an_image_on_both_sides_is_refused(tmp_path):
    path = tmp_path / "tau.json"
    path.write_text(json.dumps({"variants": [{"test_ids": ["a", "b"], "train_ids": ["b"]}]}))
    with pytest.raises(DataError, match="lists 'b' on both sides"):
        read_split(path)


def test_terms_come_first(root, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_ACCEPT_TERMS", "nsd")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert read_manifest("laion-fmri").terms == "laion-fmri"
    with pytest.raises(ConfigError, match="type: harness data accept laion-fmri"):
        load("laion-fmri", root)
