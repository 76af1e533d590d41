"""The encoder ``chasm`` as a plugin: learning, resuming, subjects, masks, samples, saving, refusals."""

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
from commands import ROOT

from harness.api import (
    ConfigError,
    DataError,
    Encoder,
    Responses,
    SpaceMismatch,
    Split,
    Stimuli,
    SubjectData,
    VoxelSpace,
)
from harness.encoders.chasm import ChasmEncoder
from harness.encoders.chasm.dataset import VisualFeatures
from harness.encoders.chasm.model import visual_vector
from harness.encoders.chasm.params import ChasmParams
from harness.encoders.chasm.training import StageTask
from harness.encoders.common.training_data import training_set, validation_images

CPU = {"seed": 0, "device": "cpu"}
SMALL = {
    "backbone": "toy",
    "cluster_size": 5,
    "width": 16,
    "head_width": 16,
    "state": 8,
    "global_depth": 1,
    "local_depth": 1,
    "contrastive_width": 8,
    "refine_width": 16,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "queries": 2,
    "readout_width": 24,
    "latent": 4,
    "kl_warmup": 1,
    "warmup_epochs": 1,
    "stage1_epochs": 2,
    "stage2_epochs": 2,
    "stage2_batch": 32,
    "stage1_rate": 3e-3,
    "stage2_rate": 3e-3,
    "transfer_epochs": 3,
    "diffusion_steps": 4,
}


class ToyFeatures:
    """CLS (N, 12) and patches (N, 4, 12): pixels of the image and of its four quarters, whitened."""

    def layer(self, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        assert backbone == "toy"
        images = stimuli.images().astype(np.float32) / 255
        quarters = images.reshape(-1, 2, 2, 2, 2, 3).swapaxes(2, 3).reshape(len(images), 4, 12)
        return {"cls": quarters.mean(axis=1), "patches": quarters}.get(layer, images)


FEATURES = ToyFeatures()


def subject(name: str = "s1", *, n: int = 90, voxels: int = 24, noise: float = 0.3) -> SubjectData:
    """A cortex linear in three views of 4 x 4 pixels, its mean at 5; voxels 0 and 7 are masked, 9 is flat."""
    rng = np.random.default_rng(voxels)
    images = rng.integers(0, 256, (n + 40, 4, 4, 3), np.uint8)
    views = np.random.default_rng(5).normal(size=(48, 3))
    tuning = views @ np.random.default_rng(len(name)).normal(size=(3, voxels)) / 2
    tuning[:, 9] = 0
    valid = np.ones(voxels, bool)
    valid[[0, 7]] = False
    space = VoxelSpace("toy", name, "all", voxels, "zscore", f"{name}-voxels", valid=valid)

    def split(part: slice, prefix: str) -> Split:
        shown = images[part]
        ids = [f"{name}-{prefix}{k}" for k in range(len(shown))]
        index = np.repeat(np.arange(len(shown)), 2)
        signal = (shown.reshape(len(shown), -1) / 255 - 0.5) @ tuning + 5
        drawn = noise * rng.normal(size=(len(index), voxels)) * (tuning.std(axis=0) > 0)
        trials = (signal[index] + drawn) * valid
        return Split(Stimuli.from_array(ids, shown), Responses(space, ids, trials.astype(np.float32), index))

    return SubjectData(space, split(slice(0, n), "train"), split(slice(n, None), "test"))


def encoder(**params) -> ChasmEncoder:
    return ChasmEncoder(ChasmParams(**{**SMALL, **params}))


def fitted(folder: Path, *subjects: SubjectData, seed: int = 0, **params) -> ChasmEncoder:
    made = encoder(**params)
    subjects = [each.training() for each in subjects or (subject(),)]
    made.fit(subjects, FEATURES, seed=seed, device="cpu", checkpoint_dir=folder)
    return made


def predict(made: ChasmEncoder, data: SubjectData, *, samples: int = 1, seed: int = 0) -> np.ndarray:
    seeds = np.random.default_rng(seed).integers(0, 2**64, (len(data.test), samples), np.uint64)
    return made.predict(data.test.stimuli, FEATURES, space=data.space, seeds=seeds)


def voxel_r(predicted: np.ndarray, data: SubjectData) -> np.ndarray:
    measured = data.test.responses.mean()
    live = data.space.valid & (measured.std(axis=0) > 0)
    return np.array([np.corrcoef(predicted[:, v], measured[:, v])[0, 1] for v in np.flatnonzero(live)])


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> tuple[ChasmEncoder, SubjectData, Path]:
    data = subject(n=400)
    folder = tmp_path_factory.mktemp("learned")
    more = {"width": 32, "refine_width": 32, "readout_width": 64, "stage1_rate": 1e-2, "stage2_rate": 1e-2}
    more |= {"cluster_size": 3, "residual_maps": "cluster", "dropout": 0.0}
    return fitted(folder, data, stage1_epochs=10, stage2_epochs=10, **more), data, folder


def test_it_is_an_encoder_and_says_what_it_wants():
    made = encoder(cls_layer="a", patch_layer="b")
    assert isinstance(made, Encoder)
    assert made.wants() == (("toy", "a"), ("toy", "b"))
    assert not ChasmEncoder.stochastic
    assert not made.stochastic
    assert encoder(latent_samples=True).stochastic
    assert encoder(stage2_refiner="dual_diff").stochastic


def test_it_learns_a_linear_cortex(learned):
    made, data, _ = learned
    predicted = predict(made, data)[:, 0]
    assert np.mean(voxel_r(predicted, data)) > 0.6  # the noise allows about 0.97
    measured, baseline = data.test.responses.mean(), data.train.responses.mean().mean(axis=0)
    live = data.space.valid & (measured.std(axis=0) > 0)
    error = np.square(predicted - measured)[:, live].mean(axis=0)
    assert (error < np.square(baseline - measured)[:, live].mean(axis=0)).mean() > 0.9
    for stage in ("stage1", "stage2"):
        values = [epoch["validation"] for epoch in made.history[stage]]
        assert min(values) < values[0]


def test_parts_of_a_fitted_model_are_worth_what_their_loss_costs(learned):
    """Held-out images, one part at a time answered for another image.  The residual decoder carries the
    model; of visual token, latent and holistic decoder docs/chasm.md says that they are worth next to
    nothing, and none of them may cost accuracy by being right."""
    made, data, _ = learned
    model = made.model
    visual = VisualFeatures.read(made.params, FEATURES, data.test.stimuli)
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
    made, data, _ = learned
    predicted = predict(made, data, samples=2)
    assert predicted.shape == (40, 2, 24)
    assert predicted.dtype == np.float32
    assert (predicted[:, :, [0, 7]] == 0).all()  # masked
    assert predicted[:, :, 9] == pytest.approx(5, abs=1e-4)  # constant
    assert predicted[:, :, 1:7].mean() == pytest.approx(5, abs=0.5)
    assert (predicted[:, 0] == predicted[:, 1]).all()


def test_stage_one_alone_predicts_cluster_targets(learned):
    made, data, _ = learned
    found = made.predict_clusters(data.test.stimuli, FEATURES, space=data.space)
    assert found.shape == (40, 7)  # 22 valid voxels, 3 a cluster
    changed = made.intervened("what").predict_clusters(data.test.stimuli, FEATURES, space=data.space)
    assert np.abs(found - changed).max() > 1e-3
    assert made.params.intervention == "both"
    again = made.predict_clusters(data.test.stimuli, FEATURES, space=data.space)
    assert (found == again).all()


def test_saving_and_loading_changes_nothing(learned, tmp_path):
    made, data, _ = learned
    made.save(tmp_path / "saved")
    files = {file.suffix for file in (tmp_path / "saved").rglob("*") if file.is_file()}
    assert files == {".json", ".npy", ".safetensors"}
    state = torch.get_rng_state()
    again = ChasmEncoder.load(tmp_path / "saved", made.params, device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert (predict(again, data) == predict(made, data)).all()
    assert again.history == made.history
    assert again.describe() == made.describe()
    again.save(tmp_path / "twice")
    for name in ("weights.safetensors", "last.safetensors", "encoder.json"):
        assert (tmp_path / "saved" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "missing", "other sizes"])
def test_a_damaged_folder_is_refused_in_one_line(learned, tmp_path, damage):
    made, _, _ = learned
    made.save(tmp_path / "saved")
    file, params = tmp_path / "saved" / "weights.safetensors", made.params
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "missing":
        (tmp_path / "saved" / "encoder.json").unlink()
    else:
        params = replace(params, readout_width=9)
    with pytest.raises(DataError, match="holds no chasm encoder of these parameters") as caught:
        ChasmEncoder.load(tmp_path / "saved", params, device="cpu")
    assert "\n" not in str(caught.value)


def test_the_seed_decides_and_nothing_else(tmp_path):
    data = subject()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = predict(fitted(tmp_path / "a", data), data)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    assert (predict(fitted(tmp_path / "b", data), data) == first).all()
    assert (predict(fitted(tmp_path / "c", data, seed=1), data) != first).any()


class Killed(Exception):
    pass


@pytest.mark.parametrize("saves", [1, 2, 4, 5])
def test_a_killed_training_ends_in_the_same_weights(tmp_path, monkeypatch, saves):
    data, epochs = subject(), {"stage1_epochs": 3, "stage2_epochs": 3}
    whole = fitted(tmp_path / "whole", data, **epochs)
    original, begun = StageTask.batches, []

    def dies(task, epoch):
        begun.append(epoch)
        if len(begun) == saves + 1:
            raise Killed
        return original(task, epoch)

    monkeypatch.setattr(StageTask, "batches", dies)
    with pytest.raises(Killed):
        fitted(tmp_path / "torn", data, **epochs)
    begun.clear()
    monkeypatch.setattr(
        StageTask, "batches", lambda task, epoch: begun.append(epoch) or original(task, epoch)
    )
    resumed = fitted(tmp_path / "torn", data, **epochs)
    assert len(begun) == 6 - saves
    for stage in ("stage1", "stage2"):
        expected = getattr(whole.model, stage).state_dict()
        for name, value in getattr(resumed.model, stage).state_dict().items():
            assert torch.equal(value, expected[name]), name
    assert resumed.history == whole.history
    assert all(torch.equal(value, resumed._last[name]) for name, value in whole._last.items())


def test_checkpoints_of_another_training_or_torn_ones_are_left_aside(tmp_path, caplog):
    data = subject()
    expected = predict(fitted(tmp_path / "clean", data), data)
    fitted(tmp_path / "used", data, topk=0.9)
    with caplog.at_level("WARNING"):
        assert (predict(fitted(tmp_path / "used", data), data) == expected).all()
    assert "belongs to another training" in caplog.text
    file = tmp_path / "used" / "stage1.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with caplog.at_level("WARNING"):
        assert (predict(fitted(tmp_path / "used", data), data) == expected).all()
    assert "cannot be read" in caplog.text
    assert not list((tmp_path / "used").glob("*.tmp"))


def test_a_loss_that_is_not_finite_says_what_to_type(tmp_path):
    data = subject()
    spoilt = data.train.responses.trials().copy()
    spoilt[3, 2] = np.nan
    responses = data.train.responses
    train = Split(data.train.stimuli, Responses(data.space, responses.ids, spoilt, responses.image_index))
    with pytest.raises(DataError, match=r"^stage1: .*not finite.*--set encoder\.stage1_rate=\S+$"):
        fitted(tmp_path, replace(data, train=train))


def test_copies_of_an_image_are_on_one_side_of_the_validation_split():
    """Under other ids and with trials of their own; without copies the share is that of images."""
    data, params = subject(), encoder().params
    stimuli, responses = data.train.stimuli, data.train.responses
    ids = [*stimuli.ids, *(f"again-{name}" for name in stimuli.ids)]
    images, patterns = np.concatenate([stimuli.images()] * 2), np.concatenate([responses.mean()] * 2)
    doubled = Split(Stimuli.from_array(ids, images), Responses.single(data.space, ids, patterns))
    held = validation_images([replace(data, train=doubled)], 0.1, seed=0)
    assert held == validation_images([data], 0.1, seed=0)
    items = training_set(replace(data, train=doubled), train_on=params.train_on, held_out=held)
    out = items.held_out
    assert np.array_equal(out[: len(stimuli)], out[len(stimuli) :])
    assert out.sum() == 2 * len(held)


def test_validation_images_are_the_same_for_all_who_saw_them():
    first, second = subject("s1"), subject("s22")  # the same images under other ids
    held = validation_images([first, second], 0.1, seed=0)
    assert held == validation_images([second], 0.1, seed=0)
    assert len(held) == 9
    assert held != validation_images([first], 0.1, seed=1)
    assert held <= set(first.train.stimuli.image_hashes())
    assert not held & set(first.test.stimuli.image_hashes())


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 training images, too few to hold some out"):
        fitted(tmp_path, subject(n=1))


def test_a_wholly_masked_subject_is_refused(tmp_path):
    data = subject()
    space = replace(data.space, valid=np.zeros(24, bool))
    responses = Responses(space, data.train.responses.ids, data.train.responses.data, np.repeat(range(90), 2))
    with pytest.raises(DataError, match="every voxel of s1 is masked"):
        fitted(tmp_path, SubjectData(space, Split(data.train.stimuli, responses), None))


def test_layers_of_the_wrong_shape_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"layer 'pixels' of backbone 'toy' has shape \(90, 4, 4, 3\)"):
        fitted(tmp_path, subject(), patch_layer="pixels")
    with pytest.raises(ConfigError, match=r"expected \(images, features\)"):
        fitted(tmp_path, subject(), cls_layer="patches")


def test_several_subjects_share_the_trunk_and_keep_their_own_maps(tmp_path):
    first, second = subject("s1"), subject("s22", voxels=17)
    made = fitted(tmp_path, first, second)
    assert predict(made, first).shape == (40, 1, 24)
    assert predict(made, second).shape == (40, 1, 17)
    names = [name for name, _ in made.model.stage1.named_parameters()]
    assert sum("global_branch.heads." in name for name in names) == 2
    assert sum("global_branch.project.weight" in name for name in names) == 1
    made.save(tmp_path / "saved")
    again = ChasmEncoder.load(tmp_path / "saved", made.params, device="cpu")
    assert (predict(again, second) == predict(made, second)).all()


def test_transfer_adds_a_linear_head_and_freezes_the_rest(learned, tmp_path):
    made, source, _ = learned
    target = subject("s22", n=300, voxels=15)
    copy = ChasmEncoder.load(_saved(made, tmp_path), made.params, device="cpu")
    before = predict(copy, source)
    with pytest.raises(SpaceMismatch, match="fitted on s1, asked for s22; fit or adapt it"):
        predict(copy, target)
    copy.params = copy.model.params = replace(copy.params, transfer_epochs=15, transfer_rate=0.01)
    copy.adapt(target.training(), FEATURES, **CPU, checkpoint_dir=tmp_path / "checkpoints")
    assert (predict(copy, source) == before).all()
    found = predict(copy, target)
    assert np.mean(voxel_r(found[:, 0], target)) > 0.3
    again = ChasmEncoder.load(_saved(copy, tmp_path / "two"), copy.params, device="cpu")
    assert (predict(again, target) == found).all()


def _saved(made: ChasmEncoder, folder: Path) -> Path:
    made.save(folder / "model")
    return folder / "model"


def test_latent_samples_come_from_the_seeds_of_each_image(tmp_path):
    data = subject()
    made = fitted(tmp_path, data)
    made.params = made.model.params = replace(made.params, latent_samples=True)
    with torch.no_grad():
        made.model.stage2.latent.inject.weight.mul_(10)
    found = predict(made, data, samples=2)
    assert (found == predict(made, data, samples=2)).all()
    assert (found != predict(made, data, samples=2, seed=1)).any()
    live = np.flatnonzero(data.space.valid & (np.arange(24) != 9))
    assert (np.abs(found[:, 0] - found[:, 1])[:, live] > 0).mean() > 0.99
    # An image's draw depends on its seed alone, not on its neighbours.
    seeds = np.random.default_rng(0).integers(0, 2**64, (40, 2), np.uint64)
    some = data.test.stimuli.select(data.test.stimuli.ids[5:9])
    alone = made.predict(some, FEATURES, space=data.space, seeds=seeds[5:9])
    assert alone == pytest.approx(found[5:9], abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"stage1_arch": "single_mamba"},
        {"stage1_arch": "transformer"},
        {"stage2_refiner": "mlp"},
        {"stage2_refiner": "dual"},
        {"stage2_refiner": "dual_diff"},
        {"train_on": "trials"},
        {"cluster_size": 10},
        {"topk": 1.0},
        {"weights": "last"},
    ],
)
def test_every_ablation_trains_predicts_and_differs(tmp_path, change):
    data = subject(n=40)
    made = fitted(tmp_path, data, **change)
    found = predict(made, data)
    assert np.isfinite(found).all()
    again = ChasmEncoder.load(_saved(made, tmp_path / "saved"), made.params, device="cpu")
    assert (predict(again, data) == found).all()
    if change != {"weights": "last"}:
        assert (found != predict(fitted(tmp_path / "plain", data), data)).any()


def test_another_space_is_refused(learned):
    made, data, _ = learned
    with pytest.raises(SpaceMismatch, match="not fitted"):
        predict(encoder(), data)
    other = replace(data.space, units="percent")
    with pytest.raises(SpaceMismatch, match="units is 'percent', expected 'zscore'"):
        made.predict(data.test.stimuli, FEATURES, space=other, seeds=np.zeros((len(data.test), 1), np.uint64))


def test_features_are_standardised_with_training_statistics(learned):
    made, data, _ = learned
    visual = VisualFeatures.read(made.params, FEATURES, data.train.stimuli)
    parts = [(c, p) for _, c, p in made.model.blocks(visual)]
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
    made, _, _ = learned
    made.save(tmp_path)
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
