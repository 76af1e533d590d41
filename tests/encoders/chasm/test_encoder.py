"""The encoder ``chasm`` as a plugin: learning, masks, samples, transfer, saving, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from chasm_subjects import CPU, FEATURES, encoder, fitted, predict, saved, subject, voxel_r
from commands import ROOT

from harness.api import (
    DataError,
    Encoder,
    SpaceMismatch,
    SubjectData,
)
from harness.encoders.chasm import ChasmEncoder
from harness.encoders.chasm.dataset import VisualFeatures
from harness.encoders.chasm.model import visual_vector
from harness.encoders.chasm.params import ChasmParams
from harness.plugins import find
from harness.run.branches import branch_correlations
from harness.run.predictions import ReadyEncoder
from harness.settings import RunSettings
from harness.stages.model import Model
from harness.storage.executors import Inline
from harness.storage.store import Store


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> tuple[ChasmEncoder, SubjectData, Path]:
    data = subject(n=400)
    folder = tmp_path_factory.mktemp("learned")
    more = {"width": 32, "refine_width": 32, "readout_width": 64, "stage1_rate": 1e-2, "stage2_rate": 1e-2}
    more |= {"cluster_size": 3, "residual_maps": "cluster", "dropout": 0.0}
    return fitted(folder, data, stage1_epochs=10, stage2_epochs=10, **more), data, folder


def test_it_is_an_encoder_and_says_what_it_wants():
    model = encoder(cls_layer="a", patch_layer="b")
    assert isinstance(model, Encoder)
    assert model.wants() == (("toy", "a"), ("toy", "b"))
    assert not ChasmEncoder.stochastic
    assert not model.stochastic
    assert encoder(latent_samples=True).stochastic
    assert encoder(stage2_refiner="dual_diff").stochastic


def test_it_learns_a_linear_cortex(learned):
    fitted_encoder, data, _ = learned
    predicted = predict(fitted_encoder, data)[:, 0]
    assert np.mean(voxel_r(predicted, data)) > 0.6  # the noise allows about 0.97
    measured, baseline = data.test.responses.mean(), data.train.responses.mean().mean(axis=0)
    live = data.space.valid & (measured.std(axis=0) > 0)
    error = np.square(predicted - measured)[:, live].mean(axis=0)
    assert (error < np.square(baseline - measured)[:, live].mean(axis=0)).mean() > 0.9
    for stage in ("stage1", "stage2"):
        values = [epoch["validation"] for epoch in fitted_encoder.history[stage]]
        assert min(values) < values[0]


def test_parts_of_a_fitted_model_are_worth_what_their_loss_costs(learned):
    """Held-out images, one part at a time answered for another image.  The residual decoder carries the
    model; of visual token, latent and holistic decoder docs/chasm.md says that they are worth next to
    nothing, and none of them may cost accuracy by being right."""
    fitted_encoder, data, _ = learned
    model = fitted_encoder.model
    visual = VisualFeatures.read(fitted_encoder.params, FEATURES, data.test.stimuli)
    measured = data.test.responses.mean()[:, data.space.valid]
    live = measured.std(axis=0) > 0

    def accuracy(ablation: str) -> float:
        with torch.inference_mode():
            _, cls, patches = next(model.blocks(visual))
            given = visual_vector(cls, patches), model.coarse(cls, patches, 0).clusters
            predicted = model.stage2(*given, 0, ablation=ablation).voxels.numpy()
        pairs = zip(predicted.T[live], measured.T[live])
        return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))

    whole = accuracy("none")
    assert whole > 0.6
    assert accuracy("residual") < whole - 0.3
    for part in ("visual", "latent", "holistic"):
        assert accuracy(part) < whole + 0.01, part


def test_predictions_are_in_the_units_of_the_space(learned):
    fitted_encoder, data, _ = learned
    predicted = predict(fitted_encoder, data, samples=2)
    assert predicted.shape == (40, 2, 24)
    assert predicted.dtype == np.float32
    assert (predicted[:, :, [0, 7]] == 0).all()  # masked
    assert predicted[:, :, 9] == pytest.approx(5, abs=1e-4)  # constant
    assert predicted[:, :, 1:7].mean() == pytest.approx(5, abs=0.5)
    assert (predicted[:, 0] == predicted[:, 1]).all()


def test_stage_one_alone_predicts_cluster_targets(learned):
    fitted_encoder, data, _ = learned
    targets = fitted_encoder.predict_clusters(data.test.stimuli, FEATURES, space=data.space)
    assert targets.shape == (40, 7)  # 22 valid voxels, 3 a cluster
    changed = fitted_encoder.intervened("what").predict_clusters(
        data.test.stimuli, FEATURES, space=data.space
    )
    assert np.abs(targets - changed).max() > 1e-3
    assert fitted_encoder.params.intervention == "both"
    again = fitted_encoder.predict_clusters(data.test.stimuli, FEATURES, space=data.space)
    assert (targets == again).all()


class GivenFeatures:
    """What the engine extracts, given."""

    def saved(self, layers, sets):
        return self

    def some(self, stimuli):
        return FEATURES


def test_its_branches_are_those_of_one_fit(learned, tmp_path):
    """Each is what the intervened encoder predicts, and the fitted streams are worth something each."""
    fitted_encoder, data, _ = learned
    model = Model(
        find("encoders", "chasm"), fitted_encoder.params, "", str(saved(fitted_encoder, tmp_path)), "cpu"
    )
    branches = branch_correlations(
        ReadyEncoder(model, data.space, test=data.test),
        settings=RunSettings(),
        features=GivenFeatures(),
        place={"store": Store(tmp_path / "store"), "executor": Inline()},
    )
    assert list(branches.r) == ["both", "where", "what", "swap", "shuffled"]
    for name, r in branches.r.items():
        expected = voxel_r(predict(fitted_encoder.intervened(name), data)[:, 0], data)
        assert np.allclose(r[np.isfinite(r)], expected, atol=1e-5), name
        assert np.isnan(r[~data.space.valid]).all()
    means = {name: np.nanmean(r) for name, r in branches.r.items()}
    assert means["both"] > 0.3
    assert max(means["swap"], means["shuffled"]) < means["both"] - 0.05
    (line,) = branches.table()  # this space has no regions
    assert line["voxels"] == data.space.n_valid
    assert line["what"] == pytest.approx(means["what"])


def test_saving_and_loading_changes_nothing(learned, tmp_path):
    fitted_encoder, data, _ = learned
    fitted_encoder.save(tmp_path / "saved")
    files = {file.suffix for file in (tmp_path / "saved").rglob("*") if file.is_file()}
    assert files == {".json", ".npy", ".safetensors"}
    state = torch.get_rng_state()
    again = ChasmEncoder.load(tmp_path / "saved", fitted_encoder.params, device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert (predict(again, data) == predict(fitted_encoder, data)).all()
    assert again.history == fitted_encoder.history
    assert again.describe() == fitted_encoder.describe()
    again.save(tmp_path / "twice")
    for name in ("weights.safetensors", "last.safetensors", "encoder.json"):
        assert (tmp_path / "saved" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "missing", "other sizes"])
def test_a_damaged_folder_is_refused_in_one_line(learned, tmp_path, damage):
    fitted_encoder, _, _ = learned
    fitted_encoder.save(tmp_path / "saved")
    file, params = tmp_path / "saved" / "weights.safetensors", fitted_encoder.params
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "missing":
        (tmp_path / "saved" / "encoder.json").unlink()
    else:
        params = replace(params, readout_width=9)
    with pytest.raises(DataError, match="holds no chasm encoder of these parameters") as caught:
        ChasmEncoder.load(tmp_path / "saved", params, device="cpu")
    assert "\n" not in str(caught.value)


def test_transfer_adds_a_linear_head_and_freezes_the_rest(learned, tmp_path):
    fitted_encoder, source, _ = learned
    target = subject("s22", n=300, voxels=15)
    copy = ChasmEncoder.load(saved(fitted_encoder, tmp_path), fitted_encoder.params, device="cpu")
    before = predict(copy, source)
    with pytest.raises(SpaceMismatch, match="fitted on s1, asked for s22; fit or adapt it"):
        predict(copy, target)
    copy.params = copy.model.params = replace(copy.params, transfer_epochs=15, transfer_rate=0.01)
    copy.adapt(target.training(), FEATURES, **CPU, checkpoint_dir=tmp_path / "checkpoints")
    assert (predict(copy, source) == before).all()
    predicted = predict(copy, target)
    assert np.mean(voxel_r(predicted[:, 0], target)) > 0.3
    again = ChasmEncoder.load(saved(copy, tmp_path / "two"), copy.params, device="cpu")
    assert (predict(again, target) == predicted).all()


def test_latent_samples_come_from_the_seeds_of_each_image(tmp_path):
    data = subject()
    sampling = fitted(tmp_path, data)
    sampling.params = sampling.model.params = replace(sampling.params, latent_samples=True)
    with torch.no_grad():
        sampling.model.stage2.latent.inject.weight.mul_(10)
    predicted = predict(sampling, data, samples=2)
    assert (predicted == predict(sampling, data, samples=2)).all()
    assert (predicted != predict(sampling, data, samples=2, seed=1)).any()
    live = np.flatnonzero(data.space.valid & (np.arange(24) != 9))
    assert (np.abs(predicted[:, 0] - predicted[:, 1])[:, live] > 0).mean() > 0.99
    # An image's draw depends on its seed alone, not on its neighbours.
    seeds = np.random.default_rng(0).integers(0, 2**64, (40, 2), np.uint64)
    some = data.test.stimuli.select(data.test.stimuli.ids[5:9])
    alone = sampling.predict(some, FEATURES, space=data.space, seeds=seeds[5:9])
    assert alone == pytest.approx(predicted[5:9], abs=1e-5)


def test_another_space_is_refused(learned):
    fitted_encoder, data, _ = learned
    with pytest.raises(SpaceMismatch, match="not fitted"):
        predict(encoder(), data)
    other = replace(data.space, units="percent")
    with pytest.raises(SpaceMismatch, match="units is 'percent', expected 'zscore'"):
        fitted_encoder.predict(
            data.test.stimuli, FEATURES, space=other, seeds=np.zeros((len(data.test), 1), np.uint64)
        )


def test_features_are_standardised_with_training_statistics(learned):
    fitted_encoder, data, _ = learned
    visual = VisualFeatures.read(fitted_encoder.params, FEATURES, data.train.stimuli)
    parts = [(c, p) for _, c, p in fitted_encoder.model.blocks(visual)]
    for number, axes in ((0, 0), (1, (0, 1))):
        values = torch.cat([part[number] for part in parts]).numpy()
        assert values.mean(axis=axes) == pytest.approx(0, abs=1e-4)
        assert values.std(axis=axes) == pytest.approx(1, abs=1e-4)


def test_both_presets_are_valid_parameters():
    content = yaml.safe_load((ROOT / "encoders" / "chasm" / "presets.yaml").read_text())
    assert ChasmParams(**content["presets"]["paper"]) == ChasmParams()
    tiny = ChasmParams(**content["presets"]["tiny"])
    assert content["on"] == {"embedded": "tiny"}
    assert (tiny.backbone, tiny.cls_layer, tiny.patch_layer) == ("scenes@tiny", "cls", "patches")


def test_what_is_saved_is_plain_data(learned, tmp_path):
    fitted_encoder, _, _ = learned
    fitted_encoder.save(tmp_path)
    words = json.loads((tmp_path / "encoder.json").read_text())
    assert set(words) == {"patches"}
    curves = json.loads((tmp_path / "curves.json").read_text())
    shared = {"epoch", "lr", "loss", "validation"}
    assert set(curves["stage1"][0]) - shared == {"mse", "pearson", "contrast"}
    assert set(curves["stage2"][0]) - shared == {"mse", "kl"}
    assert shared < set(curves["stage1"][0]) & set(curves["stage2"][0])


def test_listing_the_class_needs_no_heavy_libraries():
    code = (
        "import sys, harness.encoders.chasm\n"
        "heavy = {'pandas', 'sklearn', 'transformers', 'scipy', 'himalaya'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


def test_stage_one_alone_may_be_what_is_predicted(learned):
    fitted_encoder, data, _ = learned
    other = ChasmEncoder(replace(fitted_encoder.params, predicts="clusters"))
    other.model = fitted_encoder.model
    predicted = predict(other, data)[:, 0]
    label = fitted_encoder.model.subjects[0].clusters.label
    valid = np.flatnonzero(data.space.valid)
    coarse = fitted_encoder.predict_clusters(data.test.stimuli, FEATURES, space=data.space)
    scaled = fitted_encoder.model.subjects[0].scale.restored(coarse[:, label])
    np.testing.assert_allclose(predicted[:, valid], scaled, rtol=1e-5, atol=1e-6)
    assert np.abs(predicted - predict(fitted_encoder, data)[:, 0]).max() > 1e-3
