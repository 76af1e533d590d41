"""Encoders that are networks keep their contracts, killed and resumed fits included, and learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from harness import plugins
from harness.api import ConfigError
from harness.nn.flow_vae import travel
from harness.presets import plugin_defaults, presets_of
from harness.settings import resolve_params
from harness.storage.sharded import ShardedArray
from harness.testing import check_encoder, toy_subject
from harness.testing.toys import FeaturesInMemory

SHORT = {
    "brain-transformer": {"epochs": 2},
    "braincorl": {"epochs": 2, "batch": 12, "context": (4, 8), "shown": 12, "voxels": 8},
    "factorised": {"epochs": 2},
    "fwrf": {"sizes": 2, "smallest": 0.2, "penalties": (1.0, 10.0)},
    "gnet": {"epochs": 2, "trunk": 4, "passed": 4},
    "gru": {"epochs": 2, "width": 16},
    "lstm": {"epochs": 2, "width": 16},
    "mindsimulator": {"epochs": 2, "ae_epochs": 2, "width": 16, "depth": 1, "timesteps": 4, "trials": 2},
    "mlp": {"epochs": 2, "width": 16},
    "neuroflow": {"epochs": 2, "vae_epochs": 2, "inner": 16, "depth": 1, "steps": 3},
    "nrf": {"epochs": 2, "width": 16},
    "semantic": {"alphas": (1.0, 100.0)},
    "stacked": {"layers": ("block1", "cls"), "alphas": (1.0, 100.0)},
    "synbrain": {"epochs": 2, "vae_epochs": 2, "length": 32, "inner": 16, "depth": 1},
    "universal": {"epochs": 2, "adapt_epochs": 2, "width": 8, "embedding": 8, "voxels": 16},
}
"""Encoder -> what makes its ``tiny`` preset smaller still."""


def params_of(name: str, **changes):
    ref = plugins.find("encoders", name)
    benchmark = plugins.find("benchmarks", "embedded")
    preset = changes.pop("preset", None)
    given = {**plugin_defaults(ref, benchmark=benchmark, preset=preset), **changes}
    return ref.load(), resolve_params(ref.load().Params, given, section="encoder")


def small():
    return tuple(toy_subject(name, n_train=24, n_test=6, side=16) for name in ("toy01", "toy02", "toy03"))


@pytest.mark.parametrize("name", ["mlp", "synbrain", "braincorl"])
def test_each_way_of_training_keeps_its_contract(name):
    plugin, params = params_of(name, **SHORT[name])
    report = check_encoder(plugin, params, subjects=small())
    assert report.ok, [str(finding) for finding in report]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHORT.keys() - {"mlp", "synbrain", "braincorl"}))
def test_every_trained_encoder_keeps_its_contract(name):
    plugin, params = params_of(name, **SHORT[name])
    report = check_encoder(plugin, params, subjects=small())
    assert report.ok, [str(finding) for finding in report]


class RowByRow(FeaturesInMemory):
    """Every layer in two files, as layers larger than memory are."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.read = folder, 0

    def layer(self, backbone, layer, stimuli):
        values = super().layer(backbone, layer, stimuli)
        self.read += 1
        files = [self.folder / f"{self.read}-{k}.npy" for k in range(2)]
        for file, part in zip(files, np.array_split(values, 2)):
            np.save(file, part)
        return ShardedArray(files)


OTHERS = {
    "banded": {"alphas": (1.0, 100.0), "draws": 2},
    "chasm": {"stage1_epochs": 1, "stage2_epochs": 1},
    "ridge": {"preset": "cls-patches"},
}
QUICK = ("chasm", "mlp", "ridge")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted({**SHORT, **OTHERS})
    ],
)
def test_layers_larger_than_memory_are_fitted_alike(name, tmp_path):
    changes = {**SHORT, **OTHERS}[name]
    plugin, params = params_of(name, **changes)
    subject = small()[0]
    seeds = np.zeros((len(subject.test), 1), np.uint64)
    predictions = []
    for place, features in (("whole", FeaturesInMemory()), ("rows", RowByRow(tmp_path))):
        encoder = plugin(params)
        how = {"seed": 0, "device": "cpu", "checkpoint_dir": tmp_path / place}
        encoder.fit([subject.training()], features, **how)
        predictions.append(encoder.predict(subject.test.stimuli, features, space=subject.space, seeds=seeds))
    np.testing.assert_array_equal(*predictions)
    assert bool(features.read) == bool(plugin(params).wants())


@pytest.mark.parametrize("name", sorted(SHORT))
def test_both_presets_can_be_read_and_the_card_names_what_is_chosen(name):
    ref = plugins.find("encoders", name)
    assert {"paper", "tiny"} <= presets_of(ref).values.keys()
    for preset in ("paper", "tiny"):
        benchmark = plugins.find("benchmarks", "embedded")
        given = plugin_defaults(ref, benchmark=benchmark, preset=preset)
        resolve_params(ref.load().Params, given, section="encoder")
    module = __import__(ref.load().__module__.removesuffix(".encoder"), fromlist=["__doc__"])
    for word in ("hosen", "rained on the", "code"):
        assert word in module.__doc__, (name, word)


def test_a_network_learns_what_it_was_shown(tmp_path):
    subject = toy_subject("toy01", n_train=40)
    own = {"backbone": "pixels", "layer": "grey8", "width": 64, "epochs": 60, "rate": 0.01}
    plugin, params = params_of("gru", **own, dropout=0.0, patience=0)
    features = FeaturesInMemory()
    encoder = plugin(params)
    encoder.fit([subject], features, seed=0, device="cpu", checkpoint_dir=tmp_path)
    losses = [record["mse"] for record in encoder.history["0.readout"]]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("name", ["braincorl", "mlp"])
def test_a_single_held_out_image_is_enough_to_stop_by(name, tmp_path):
    plugin, params = params_of(name, **SHORT[name])
    encoder, subject = plugin(params), small()[0]
    assert round(params.validation * len(subject.train.stimuli)) == 1
    encoder.fit([subject], FeaturesInMemory(), seed=0, device="cpu", checkpoint_dir=tmp_path)
    (curve,) = encoder.history.values()
    assert np.isfinite([record["validation"] for record in curve]).all()


def test_an_epoch_of_braincorl_is_a_pass_over_voxels(tmp_path):
    """As the authors count: a hundred of them are many steps, whatever the number of images."""
    plugin, params = params_of("braincorl", **{**SHORT["braincorl"], "voxels": 2})
    subject = small()[0]
    encoder = plugin(params)
    encoder.fit([subject], FeaturesInMemory(), seed=0, device="cpu", checkpoint_dir=tmp_path)
    (model,) = encoder.models
    (stage,) = encoder.stages(model.network, model.subjects)
    assert stage.steps == -(-subject.space.n_valid // 2) > len(subject.train) / params.batch


def test_adapting_synbrain_tunes_a_copy_and_of_its_map_the_mlps_alone(tmp_path):
    plugin, params = params_of("synbrain", **SHORT["synbrain"])
    first, second = small()[:2]
    encoder, features = plugin(params), FeaturesInMemory()
    encoder.fit([first.training()], features, seed=0, device="cpu", checkpoint_dir=tmp_path)
    before = {name: value.clone() for name, value in encoder.models[0].network.state_dict().items()}
    encoder.adapt(second.training(), features, seed=0, device="cpu", checkpoint_dir=tmp_path / "adapt")
    source, tuned = (model.network.state_dict() for model in encoder.models)
    assert all(torch.equal(source[name], value) for name, value in before.items())
    changed = {name for name, value in tuned.items() if not torch.equal(value, before[name])}
    assert {name for name in changed if name.startswith("s2n.")} == {
        name for name in tuned if name.startswith("s2n.") and ".mlp." in name
    }
    assert any(name.startswith("vae.") for name in changed)
    seeds = np.zeros((len(second.test), 1), np.uint64)
    predicted = encoder.predict(second.test.stimuli, features, space=second.space, seeds=seeds)
    assert np.isfinite(predicted).all()


def test_adapting_the_universal_encoder_leaves_its_network(tmp_path):
    first, second, _ = small()
    plugin, params = params_of("universal", **SHORT["universal"])
    features, encoder = FeaturesInMemory(), plugin(params)
    encoder.fit([first], features, seed=0, device="cpu", checkpoint_dir=tmp_path / "fit")
    encoder.adapt(second, features, seed=0, device="cpu", checkpoint_dir=tmp_path / "adapt")
    before, after = (model.network.shared.state_dict() for model in encoder.models)
    assert all(torch.equal(before[name], after[name]) for name in before)
    seeds = np.zeros((len(second.test.stimuli), 1), np.uint64)
    for subject in (first, second):
        predicted = encoder.predict(subject.test.stimuli, features, space=subject.space, seeds=seeds)
        assert predicted.shape[-1] == subject.space.n_voxels


def test_a_layer_of_the_wrong_shape_is_refused_with_what_to_do(tmp_path):
    plugin, params = params_of("gru", layer="cls", **SHORT["gru"])
    subject = small()[0]
    with pytest.raises(ConfigError, match=r"'cls'.*expected 3 axes.*harness list scenes@tiny"):
        plugin(params).fit([subject], FeaturesInMemory(), seed=0, device="cpu", checkpoint_dir=tmp_path)


def test_parameters_out_of_range_are_named():
    with pytest.raises(ConfigError, match=r"encoder\.epochs is 0"):
        params_of("mlp", epochs=0)
    assert dataclasses.is_dataclass(params_of("nrf")[1])


def test_the_flow_leads_back_to_the_image_tokens(tmp_path):
    """Backward from the very latent that the forward way reached, the tokens come out again."""
    plugin, params = params_of("neuroflow", **{**SHORT["neuroflow"], "steps": 200})
    subject, features = small()[0], FeaturesInMemory()
    encoder = plugin(params)
    encoder.fit([subject], features, seed=0, device="cpu", checkpoint_dir=tmp_path)
    flow = encoder.models[0].network.flow
    tokens = torch.from_numpy(features.layer("bigg@tiny", "tokens", subject.test.stimuli))
    there = travel(flow, tokens, steps=200)
    back = travel(flow, there, steps=200, backward=True)
    assert (there - tokens).abs().mean() > 10 * (back - tokens).abs().mean()
    decoded = encoder.image_tokens(subject.test.responses.mean(), space=subject.space)
    assert decoded.shape == tokens.shape
    assert np.isfinite(decoded).all()
