"""The ridge encoder as a plugin: what it wants, subjects, masks, repeats, saving, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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
from harness.backbones.pixels import Pixels
from harness.encoders.ridge import RidgeEncoder
from harness.testing import toy_subject
from harness.testing.toys import FeaturesInMemory

FIT = {"seed": 0, "device": "cpu", "checkpoint_dir": Path("unused")}


class PixelFeatures:
    """Features straight from the pixel backbone, without a store."""

    def layer(self, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        assert backbone == "pixels"
        return Pixels().extract(stimuli.images(), [layer])[layer]


FEATURES = PixelFeatures()


def subject(name: str = "s1", *, n: int = 80, voxels: int = 20, noise: float = 0.3) -> SubjectData:
    """A cortex that is linear in 8 x 8 pixels; voxels 0 and 7 are masked; repeats are unequal."""
    rng = np.random.default_rng(len(name) + voxels)
    images = rng.integers(0, 256, (n + 10, 8, 8, 3), np.uint8)
    tuning = np.random.default_rng(1).normal(size=(192, voxels)) / 4
    valid = np.ones(voxels, bool)
    valid[[0, 7]] = False
    space = VoxelSpace("toy", name, "all", voxels, "zscore", f"{name}-voxels", valid=valid)

    def split(part: slice, prefix: str) -> Split:
        shown = images[part]
        ids = [f"{prefix}{k}" for k in range(len(shown))]
        index = np.repeat(np.arange(len(shown)), np.resize([1, 2, 5], len(shown)))
        signal = (shown.reshape(len(shown), -1) / 255 - 0.5) @ tuning
        trials = (signal[index] + noise * rng.normal(size=(len(index), voxels))) * valid
        return Split(Stimuli.from_array(ids, shown), Responses(space, ids, trials.astype(np.float32), index))

    return SubjectData(space, split(slice(0, n), "train"), split(slice(n, None), "test"))


def encoder(**params) -> RidgeEncoder:
    return RidgeEncoder(RidgeEncoder.Params(**{"layers": ("rgb8",), **params}))


def predicted(model: RidgeEncoder, data: SubjectData, samples: int = 1) -> np.ndarray:
    stimuli = data.test.stimuli
    seeds = np.arange(len(stimuli) * samples, dtype=np.uint64).reshape(-1, samples)
    return model.predict(stimuli, FEATURES, space=data.space, seeds=seeds)


def test_predicts_new_images_in_every_valid_voxel():
    data, model = subject(n=400), encoder()
    assert isinstance(model, Encoder)
    model.fit([data.training()], FEATURES, **FIT)
    predictions = predicted(model, data, samples=3)
    assert predictions.shape == (10, 3, 20)
    assert predictions.dtype == np.float32
    np.testing.assert_array_equal(predictions, predictions[:, :1].repeat(3, axis=1))
    assert (predictions[..., [0, 7]] == 0).all()
    valid = data.space.valid
    measured = data.test.responses.mean()[:, valid]
    baseline = data.train.responses.mean()[:, valid].mean(axis=0)
    error = ((predictions[:, 0, valid] - measured) ** 2).mean(axis=0)
    assert (error < 0.5 * ((baseline - measured) ** 2).mean(axis=0)).all()


def test_equals_a_plain_solution_by_hand():
    """One penalty: predictions are those of the weighted normal equations on training means."""
    data = subject()
    model = encoder(alphas=(50.0,))
    model.fit([data], FEATURES, **FIT)
    x = FEATURES.layer("pixels", "rgb8", data.train.stimuli).reshape(80, -1).astype(np.float64)
    weight = data.train.responses.counts() / data.train.responses.counts().mean()
    mean = np.average(x, axis=0, weights=weight)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    z, y = (x - mean) / scale, data.train.responses.mean().astype(np.float64)
    offset = np.average(y, axis=0, weights=weight)
    beta = np.linalg.solve(
        z.T @ (weight[:, None] * z) + 50 * np.eye(192), z.T @ (weight[:, None] * (y - offset))
    )
    new = FEATURES.layer("pixels", "rgb8", data.test.stimuli).reshape(10, -1)
    np.testing.assert_allclose(
        predicted(model, data)[:, 0], ((new - mean) / scale) @ beta + offset, atol=1e-4
    )


def test_ignoring_repeats_is_another_model():
    data = subject()
    models = [encoder(weight_by_repeats=flag) for flag in (True, False)]
    for model in models:
        model.fit([data], FEATURES, **FIT)
    assert not np.allclose(predicted(models[0], data), predicted(models[1], data), atol=1e-3)


def test_layers_are_concatenated_and_wanted():
    model = encoder(layers=("grey8", "rgb16"))
    assert model.wants() == (("pixels", "grey8"), ("pixels", "rgb16"))
    data = subject()
    model.fit([data], FEATURES, **FIT)
    assert predicted(model, data).shape == (10, 1, 20)
    assert RidgeEncoder(RidgeEncoder.Params()).wants() == (("pixels", "rgb16"),)


def test_several_subjects_keep_models_of_their_own_and_adapt_adds_one():
    first, second, third = subject("a"), subject("bb", voxels=11), subject("ccc", voxels=15)
    both, alone = encoder(), encoder()
    both.fit([first, second], FEATURES, **FIT)
    alone.fit([second], FEATURES, **FIT)
    assert predicted(both, second).tobytes() == predicted(alone, second).tobytes()
    before = predicted(both, first).tobytes()
    both.adapt(third, FEATURES, **FIT)
    assert predicted(both, third).shape == (10, 1, 15)
    assert predicted(both, first).tobytes() == before


def test_saved_encoder_predicts_the_same_bytes(tmp_path):
    first, second = subject("a"), subject("bb", voxels=11)
    model = encoder()
    model.fit([first, second], FEATURES, **FIT)
    model.save(tmp_path)
    again = RidgeEncoder.load(tmp_path, model.params, device="cpu")
    for data in (first, second):
        assert predicted(again, data).tobytes() == predicted(model, data).tobytes()


def test_batches_make_no_difference():
    data, model = subject(), encoder()
    model.fit([data], FEATURES, **FIT)
    whole, ids = predicted(model, data), data.test.stimuli.ids
    parts = [
        model.predict(
            data.test.stimuli.select(part),
            FEATURES,
            space=data.space,
            seeds=np.zeros((len(part), 1), np.uint64),
        )
        for part in (ids[:3], ids[3:4], ids[4:])
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_another_space_is_refused():
    data, model = subject(), encoder()
    with pytest.raises(SpaceMismatch, match="not fitted"):
        predicted(model, data)
    model.fit([data], FEATURES, **FIT)
    with pytest.raises(SpaceMismatch, match="fitted on s1, asked for other; fit or adapt it to other first"):
        predicted(model, subject("other"))
    percent = replace(data, space=replace(data.space, units="percent"))
    with pytest.raises(SpaceMismatch, match="units is 'percent', expected 'zscore'"):
        predicted(model, percent)


def test_bad_parameters_and_files_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"encoder.layers is empty; name at least one"):
        encoder(layers=())
    with pytest.raises(ConfigError, match="expected positive numbers"):
        encoder(alphas=(1.0, -1.0))
    with pytest.raises(ConfigError, match="choosing among penalties needs 2 or more"):
        encoder(folds=1)
    with pytest.raises(DataError, match="holds no ridge encoder; fit it again"):
        RidgeEncoder.load(tmp_path, RidgeEncoder.Params(), device="cpu")
    data, model = subject(), encoder()
    model.fit([data], FEATURES, **FIT)
    model.save(tmp_path)
    (tmp_path / "subject-000" / "space.json").write_text("{")
    with pytest.raises(DataError, match="holds no saved voxel space"):
        RidgeEncoder.load(tmp_path, RidgeEncoder.Params(), device="cpu")


def test_all_masked_is_an_error():
    data = subject()
    space = replace(data.space, valid=np.zeros(20, bool))
    with pytest.raises(DataError, match="every voxel of s1 is masked"):
        encoder().fit([replace(data, space=space)], FEATURES, **FIT)


@pytest.mark.parametrize("tokens", ["first", "mean", "rest"])
def test_tokens_of_a_block_are_chosen(tokens):
    subject, features = toy_subject(n_train=12, n_test=3), FeaturesInMemory()
    encoder = RidgeEncoder(RidgeEncoder.Params(backbone="scenes@tiny", layers=("block1",), tokens=tokens))
    block = features.layer("scenes@tiny", "block1", subject.train.stimuli)
    design = encoder.design(subject.train.stimuli, features)
    expected = {"first": block[:, 0], "mean": block.mean(axis=1), "rest": block[:, 1:].mean(axis=1)}
    assert np.array_equal(design, expected[tokens])
    flat = RidgeEncoder(RidgeEncoder.Params(tokens=tokens))
    with pytest.raises(ConfigError, match="leave it at all"):
        flat.design(subject.train.stimuli, PixelsAsVectors())


class PixelsAsVectors:
    """A layer without tokens."""

    def layer(self, backbone, layer, stimuli):
        return np.zeros((len(stimuli), 4), np.float32)
