"""Features for encoders and decoders: what a plugin computes of images is kept, and found by the next fit."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import TOYS

from harness.api import DataError, PluginError
from harness.benchmarks.embedded import Embedded
from harness.data import Stimuli
from harness.plugins import find
from harness.run.flags.provenance import declarations
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.stages import plugin_features
from harness.stages.features import FeatureStore, SavedFeatures
from harness.stages.fit import fit_decoder, takes_features
from harness.stages.plugin_features import PluginFeatures
from harness.storage.cached import store_at
from harness.storage.executors import Inline
from harness.storage.sharded import ShardedArray
from harness.storage.store import Store

LINEAR = find("decoders", "linear")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def features(store, monkeypatch):
    monkeypatch.setattr(plugin_features, "SHARD", 8)
    return PluginFeatures(SavedFeatures(str(store.root), "cpu", ()), LINEAR)


def pictures(count: int, seed: int = 0) -> Stimuli:
    images = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    return Stimuli.from_array([f"image-{k}" for k in range(count)], images)


class Compute:
    """Mean of every image and its place, as float16."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, images: np.ndarray, first: int) -> np.ndarray:
        self.calls.append((first, len(images)))
        means = images.reshape(len(images), -1).mean(1)
        return np.stack([means, first + np.arange(len(images))], axis=1).astype(np.float16)


def test_values_are_computed_once_in_order_and_indexed_as_an_array(features):
    stimuli, compute = pictures(19), Compute()
    values = features.computed("means", compute, stimuli, identity="a", batch=4)
    assert compute.calls == [(0, 4), (4, 4), (8, 4), (12, 4), (16, 3)]
    expected = Compute()(stimuli.images(), 0)
    assert (values.shape, values.dtype, values.ndim, len(values)) == ((19, 2), np.float16, 2, 19)
    np.testing.assert_array_equal(np.asarray(values), expected)
    for at in ([18, 0, 8, 7, 7], slice(5, 17), np.array([[1, 2], [17, 9]]), 11, -1, expected[:, 1] > 9):
        np.testing.assert_array_equal(values[at], expected[at])
    with pytest.raises(IndexError):
        values[19]
    again = features.computed("means", compute, stimuli, identity="a", batch=4)
    assert len(compute.calls) == 5
    np.testing.assert_array_equal(np.asarray(again), expected)


def test_a_file_that_was_made_again_is_read_again(tmp_path):
    first, second, file = np.zeros((2, 3)), np.ones((2, 3)), tmp_path / "a.npy"
    np.save(file, first)
    rows = ShardedArray([file], at=[1, 0, 1])
    np.testing.assert_array_equal(rows, first[[1, 0, 1]])
    np.save(tmp_path / "b.npy", second)
    (tmp_path / "b.npy").rename(file)
    np.testing.assert_array_equal(rows[1:], second)


def test_another_identity_name_batch_or_image_is_computed(features, store):
    stimuli, compute = pictures(8), Compute()
    features.computed("means", compute, stimuli, identity="a", batch=4)
    for change in ({"identity": "b"}, {"name": "others"}, {"batch": 8}, {"stimuli": pictures(8, seed=1)}):
        given = {"name": "means", "stimuli": stimuli, "identity": "a", "batch": 4} | change
        before = len(compute.calls)
        features.computed(given.pop("name"), compute, given.pop("stimuli"), **given)
        assert len(compute.calls) > before, change
    assert store.reused["features"] == 0


def test_a_kill_loses_one_shard(features):
    stimuli, whole = pictures(24), Compute()

    def dies(images, first):
        if first == 12:
            raise KeyboardInterrupt
        return whole(images, first)

    with pytest.raises(KeyboardInterrupt):
        features.computed("means", dies, stimuli, identity="a", batch=4)
    whole.calls.clear()
    features.computed("means", whole, stimuli, identity="a", batch=4)
    assert whole.calls == [(8, 4), (12, 4), (16, 4), (20, 4)]


def test_shares_make_every_shard_once_and_a_fit_finds_them_all(features):
    stimuli = pictures(37)
    computed = []
    for which in range(3):
        compute = Compute()
        replace(features, share=(which, 3)).computed("means", compute, stimuli, identity="a", batch=8)
        computed += compute.calls
    assert sorted(computed) == [(0, 8), (8, 8), (16, 8), (24, 8), (32, 5)]
    compute = Compute()
    values = features.computed("means", compute, stimuli, identity="a", batch=8)
    assert not compute.calls
    np.testing.assert_array_equal(np.asarray(values), Compute()(stimuli.images(), 0))


def test_a_share_of_what_cannot_be_kept_is_not_made(features):
    compute = Compute()
    replace(features, share=(0, 2)).computed("means", compute, pictures(8), identity="", batch=8)
    assert not compute.calls


def test_an_unknown_identity_is_kept_for_no_one(features, store):
    stimuli, compute = pictures(8), Compute()
    for _ in range(2):
        features.computed("means", compute, stimuli, identity="", batch=8)
    assert len(compute.calls) == 2
    store_at(str(store.root)).close()
    assert not list(store.root.glob("features/*/*"))


@pytest.mark.parametrize(
    ("compute", "batch", "match"),
    [
        (lambda images, first: np.zeros(3), 8, r"'means' of 8 images is an array of shape \(3,\)"),
        (lambda images, first: np.array(["x"] * 8), 8, "expected a number or more for each image"),
        (lambda images, first: np.zeros(8), 3, "batches of 3; it must divide 8"),
    ],
)
def test_what_fits_no_image_gets_one_line(features, compute, batch, match):
    with pytest.raises(PluginError, match=match):
        features.computed("means", compute, pictures(8), identity="a", batch=batch)


def test_files_of_unequal_rows_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.save(tmp_path / "b.npy", np.zeros((2, 4)))
    with pytest.raises(DataError, match=r"b\.npy holds rows \(4,\) of float64; expected \(3,\)"):
        ShardedArray([tmp_path / "a.npy", tmp_path / "b.npy"])
    with pytest.raises(DataError, match="at least one file"):
        ShardedArray([])


# Decoders


class Old:
    def fit(self, subject, *, seed, device, checkpoint_dir):
        pass


class New:
    def fit(self, subject, features, *, seed, device, checkpoint_dir):
        pass


class Through(Old):
    def fit(self, *given, **named):
        super().fit(*given, **named)


class Plain(Old):
    def fit(self, subject, seed, device, checkpoint_dir):
        pass


class Wrong:
    def fit(self, *, seed, device, checkpoint_dir):
        pass


@pytest.mark.parametrize(("kind", "takes"), [(Old, False), (New, True), (Through, False), (Plain, False)])
def test_what_a_decoders_fit_takes_is_read_from_its_signature(kind, takes):
    assert takes_features(kind(), LINEAR) == takes


def test_a_fit_without_a_subject_is_refused_with_the_signature_to_write():
    with pytest.raises(PluginError, match=r"expected def fit\(self, subject, features, \*, seed, device"):
        takes_features(Wrong(), LINEAR)


DECODERS = (
    TOYS.read_text()
    + '''

class Before(ToyDecoder):
    """Written before decoders got features."""

    def fit(self, subject, *, seed, device, checkpoint_dir):
        super().fit(subject, None, seed=seed, device=device, checkpoint_dir=checkpoint_dir)


class Wants(ToyDecoder):
    def wants(self):
        return (("pixels", "rgb8"), ("scenes@tiny", "cls"))

    def fit(self, subject, features, **more):
        stimuli = subject.train.stimuli
        self.seen = [features.layer(*pair, stimuli).shape for pair in self.wants()]
        assert all(shape[0] == len(stimuli) for shape in self.seen)
        super().fit(subject, features, **more)


class Ahead(ToyDecoder):
    """Its fit finds everything."""

    def targets(self, subject, features, *, seed, device):
        mean = lambda images, first: images.reshape(len(images), -1).mean(1)
        features.computed("means", mean, subject.train.stimuli, identity="a", batch=8)

    def fit(self, subject, features, **more):
        stimuli = subject.train.stimuli
        known = features.computed("means", lambda images, first: 1 / 0, stimuli, identity="a", batch=8)
        assert len(known) == len(stimuli)
        super().fit(subject, features, **more)
'''
)


def run(tmp_path: Path, name: str, **settings):
    tmp_path.mkdir(exist_ok=True)
    file = tmp_path / "decoders.py"
    file.write_text(DECODERS)
    request = Request(
        benchmark=f"{TOYS}:ToyBenchmark",
        decoder=f"{file}:{name}",
        values={"run": {"metrics": ["pixcorr"], **settings}},
    )
    plan = make_plan(request)
    store = Store(tmp_path / "store")
    return plan, store, run_plan(plan, store)


def test_a_decoder_of_the_old_signature_still_runs(tmp_path):
    _, store, outcome = run(tmp_path, "Before")
    assert store.computed["fit"] == 1
    assert outcome.sets


def test_all_workers_compute_a_decoders_targets_before_its_fit_and_none_once_it_is_there(tmp_path):
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        run(tmp_path / "alone", "Ahead")  # which one process does not: its fit comes next in any case
    _, store, _ = run(tmp_path, "Ahead", executor="processes", workers=2)
    assert (store.computed["features"], store.computed["fit"]) == (1, 1)
    _, again, outcome = run(tmp_path, "Ahead", executor="processes", workers=2)
    assert not again.computed["features"] + again.computed["fit"]
    assert outcome.sets


def test_what_a_decoder_wants_is_extracted_keyed_and_declared(tmp_path):
    plan, store, _ = run(tmp_path, "Wants")
    assert store.computed["features"] == 2
    (manifest,) = store.root.glob("fit/*/*/manifest.json")
    assert '"scenes@tiny"' in manifest.read_text()
    own = declarations(plan)["decoder"]
    assert own.networks == ("pixels", "scenes@tiny")


def test_mindeye2_finds_its_targets_again_after_a_change_of_learning_rate(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    ref = find("decoders", "mindeye2")
    data = Embedded(Embedded.Params(n_train=12, n_test=2)).load("subj01")
    params = ref.load().Params(weights="tiny", hidden=224, epochs=3, batch=8, samples_per_epoch=8)
    weights = {}
    for rate, expected in ((1e-3, (4, 0)), (2e-3, (0, 4))):
        store = Store(tmp_path / "store")
        features = FeatureStore(store, Inline(), device="cpu")
        model = fit_decoder(
            ref,
            replace(params, learning_rate=rate),
            data,
            features=features,
            store=store,
            executor=Inline(),
            seed=0,
            device="cpu",
        )
        assert (store.computed["features"], store.reused["features"]) == expected
        assert store.computed["fit"] == 1
        weights[rate] = model.load(data.space).network.state_dict()
        assert (Path(model.folder) / "curves.json").is_file()
    assert any(not torch.equal(weights[1e-3][name], weights[2e-3][name]) for name in weights[1e-3])
