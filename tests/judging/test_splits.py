"""No group of images is on both sides of a split."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import SHARED, call_harness

from harness.benchmarks.embedded import Embedded, Params
from harness.cli.data import _to_use
from harness.data import Responses, Split, Stimuli
from harness.errors import ConfigError
from harness.judging.pictures import judge_pictures
from harness.judging.sample import Sample
from harness.judging.splits import honest_split
from harness.judging.verdict import Verdict
from harness.plugins import find


@pytest.fixture(scope="module")
def data():
    """90 images, of which the first 10 test images are copies of training images."""
    sound = Embedded(Params(n_train=60, n_test=30, repeats=1)).load("subj01")
    images = sound.test.stimuli.images().copy()
    images[:10] = sound.train.stimuli.images(sound.train.stimuli.ids[:10])
    labels = dict(sound.test.stimuli.labels)
    stimuli = Stimuli.from_array(sound.test.stimuli.ids, images, labels=labels)
    responses = Responses.single(sound.space, stimuli.ids, sound.test.responses.mean())
    return replace(sound, test=Split(stimuli, responses), truth=None, remeasured=None)


def sides(data, result):
    ids = [*data.train.stimuli.ids, *data.test.stimuli.ids]
    hashes = [*data.train.stimuli.image_hashes(), *data.test.stimuli.image_hashes()]
    is_test = np.isin(ids, result.test_ids)
    return is_test, hashes


@pytest.mark.parametrize("by", ["stimulus", "cluster", "distance"])
def test_copies_are_on_one_side(data, by):
    result = honest_split(data, by=by, share=0.3, label="category")
    is_test, hashes = sides(data, result)
    of = np.array(hashes)
    assert not set(of[is_test]) & set(of[~is_test])
    assert 0.2 < is_test.mean() < 0.7


def test_what_the_alarm_was_about_is_on_one_side():
    """Six test images are training images saved again: none equals another, and a split parts no pair."""
    sound = Embedded(Params(n_train=60, n_test=30, repeats=1)).load("subj01")
    images = sound.test.stimuli.images().copy()
    again = sound.train.stimuli.images(sound.train.stimuli.ids[:6]).astype(np.int16)
    images[:6] = np.clip(again + np.random.default_rng(0).integers(-3, 4, again.shape), 0, 255)
    stimuli = Stimuli.from_array(sound.test.stimuli.ids, images)
    data = replace(sound, test=Split(stimuli, sound.test.responses), truth=None, remeasured=None)
    assert judge_pictures(data, Sample.of(data)).verdict == Verdict.ALARM
    chosen = set(honest_split(data, by="stimulus", share=0.4).test_ids)
    for ours, theirs in zip(data.train.stimuli.ids[:6], data.test.stimuli.ids[:6], strict=True):
        assert (ours in chosen) == (theirs in chosen)


def test_a_category_is_on_one_side():
    data = Embedded(Params(n_train=60, n_test=30, repeats=1)).load("subj01")
    result = honest_split(data, by="category", share=0.2, label="background")
    is_test, _ = sides(data, result)
    labels = np.concatenate([data.train.stimuli.labels["background"], data.test.stimuli.labels["background"]])
    assert not set(labels[is_test]) & set(labels[~is_test])
    assert is_test.any()


def test_clusters_and_distance_are_farther_from_training_than_chance(data):
    by_chance = honest_split(data, by="stimulus", share=0.3).after
    assert honest_split(data, by="distance", share=0.3).after < by_chance
    assert honest_split(data, by="cluster", share=0.3).after < by_chance


def test_words_that_cannot_be_meant(data):
    with pytest.raises(ConfigError, match="did you mean 'category'"):
        honest_split(data, by="category", share=0.3, label="categor")
    with pytest.raises(ConfigError, match=r"--share is 1\.5"):
        honest_split(data, by="stimulus", share=1.5)


def test_through_the_command_line(tmp_path):
    small = ("--set", "benchmark.n_train=60", "--set", "benchmark.n_test=40")
    shown = call_harness(tmp_path, "data", "split", *small, "--by", "cluster", "--out", "ids.txt")
    ids = (tmp_path / "ids.txt").read_text().split()
    assert f"{len(ids)} of 100 images test" in shown.stdout
    assert "draws its test images itself" in shown.stdout
    shown = call_harness(tmp_path, "data", "doctor", *small, "--html", "page.html", check=False)
    assert "alignment: good" in shown.stdout
    for text in (shown.stdout, (tmp_path / "page.html").read_text()):
        assert "simulated, not brain data" in text
        assert "smallest difference" in text


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("paired", "with all trials under data: write test_ids: ids.txt"),
        ("lab", "without split:, write test: ids.txt"),
        ("nsd", "type --set benchmark.test=ids.txt"),
    ],
)
def test_what_to_type_with_a_list_is_what_the_benchmark_takes(name, hint):
    params = find("benchmarks", name).load().Params
    given = {field.name: None for field in fields(params)}
    assert hint in _to_use(SimpleNamespace(**given), Path("ids.txt"))


@pytest.mark.skipif(
    not (SHARED / "data" / "miyawaki2008_geometric.mat").is_file(), reason="the real data are not here"
)
def test_the_packaged_split_of_miyawakis_shapes_raises_the_alarm_and_an_honest_one_is_made(tmp_path):
    file = SHARED / "data" / "miyawaki2008_geometric.mat"
    keys = "{{images: stim{0}, responses: fmri{0}}}"
    (tmp_path / "packaged.yaml").write_text(
        f"benchmark:\n  file: {file}\n  units: raw\n  normalise: zscore\n  image_layout: flat\n"
        f"  image_shape: [28, 28]\n  exclude: [constant, nan]\n  train: {keys.format('Trn')}\n"
        f"  test: {keys.format('Test')}\n  allow_overlap: true\nplugins: {{benchmark: paired}}\n"
    )
    shown = call_harness(tmp_path, "data", "doctor", "--config", "packaged.yaml", check=False)
    assert shown.returncode != 0
    assert "pictures: alarm" in shown.stdout
    alarm = call_harness(tmp_path, "data", "split", "--config", "packaged.yaml", "--share", "0.2")
    assert "none of which trains" in alarm.stdout
