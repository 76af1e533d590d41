"""The linear and nearest-train decoders: what they make, save and refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import SHARED
from plain_features import PlainFeatures
from small_scenes import scenes

from harness.api import (
    ConfigError,
    DataError,
    Decoder,
    Responses,
    SpaceMismatch,
    Split,
    Stimuli,
    SubjectData,
    VoxelSpace,
)
from harness.decoders.linear import LinearDecoder
from harness.decoders.nearest_train import NearestTrainDecoder

FIT = {"seed": 0, "device": "cpu", "checkpoint_dir": Path("unused")}
DIGITS = SHARED / "data" / "vangerven2010_digits69.mat"


def seeds(n: int) -> np.ndarray:
    return np.zeros(n, np.uint64)


def subject(name: str = "s1", *, noise: float = 0.5, voxels: int = 60, floats: bool = False) -> SubjectData:
    """A cortex that is linear in pixels; voxel 3 is masked, voxel 5 is constant."""
    rng = np.random.default_rng(7)
    tuning = rng.normal(size=(12 * 16 * 3, voxels)) / 8
    valid = np.arange(voxels) != 3
    space = VoxelSpace("toy", name, "all", voxels, "zscore", f"{name}-{voxels}", valid=valid)

    def split(n: int, prefix: str, seed: int) -> Split:
        images = scenes(n, seed=seed)
        ids = [f"{prefix}{k}" for k in range(n)]
        index = np.repeat(np.arange(n), np.resize([3, 1], n))
        trials = ((images.reshape(n, -1) / 255 - 0.5) @ tuning)[index]
        trials = (trials + noise * rng.normal(size=trials.shape)) * valid
        trials[:, 5] = 1.5
        shown = images / np.float32(255) if floats else images
        return Split(Stimuli.from_array(ids, shown), Responses(space, ids, trials.astype(np.float32), index))

    return SubjectData(space, split(150, "train", 1), split(20, "test", 2))


def linear(data: SubjectData, **params) -> LinearDecoder:
    decoder = LinearDecoder(LinearDecoder.Params(**params))
    decoder.fit(data.training(), PlainFeatures(), **FIT)
    decoder.open(data.space, device="cpu")
    return decoder


def error(images: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean((images.astype(np.float64) - truth) ** 2))


def test_linear_beats_the_mean_image_and_its_generator_beats_it():
    data = subject()
    decoder = linear(data)
    assert isinstance(decoder, Decoder)
    truth = data.test.stimuli.images()
    decoded = decoder.decode(data.test.responses, seeds=seeds(20))
    ceiling = decoder.generate(truth, seeds=seeds(20))
    assert decoded.images.shape == (20, 1, 12, 16, 3)
    assert decoded.images.dtype == ceiling.images.dtype == np.uint8
    mean_image = data.train.stimuli.images().mean(axis=0)
    decoded_error, ceiling_error = error(decoded.images[:, 0], truth), error(ceiling.images[:, 0], truth)
    assert decoded_error < 0.7 * error(np.broadcast_to(mean_image, truth.shape), truth)
    assert ceiling_error < 0.05 * decoded_error
    np.testing.assert_allclose(ceiling.embedding, decoder.embed(truth), rtol=1e-6)
    assert decoded.embedding.shape == ceiling.embedding.shape
    assert decoded.embedding.std() < ceiling.embedding.std()  # ridge shrinks, and nothing hides that


def test_linear_gives_the_mean_image_for_no_signal():
    data = subject(noise=0.0)
    decoder = linear(data)
    counts = data.train.responses.counts().astype(np.float64)
    at_rest = np.average(data.train.responses.mean(), axis=0, weights=counts)[None]
    decoded = decoder.decode(Responses.single(data.space, ["rest"], at_rest), seeds=seeds(1))
    expected = np.average(data.train.stimuli.images(), axis=0, weights=counts)
    np.testing.assert_allclose(decoded.images[0, 0], expected, atol=1)


def test_linear_with_float_images_and_few_components():
    decoder = linear(subject(floats=True), components=4)
    decoded = decoder.decode(subject().test.responses, seeds=seeds(20))
    assert decoded.embedding.shape == (20, 4)
    assert decoded.images.dtype == np.uint8
    same = linear(subject(), components=4).decode(subject().test.responses, seeds=seeds(20))
    assert np.abs(decoded.images.astype(int) - same.images).max() <= 1


def test_linear_does_not_see_masked_or_constant_voxels():
    data = subject()
    decoder = linear(data)
    test = data.test.responses
    moved = test.mean()
    moved[:, [3, 5]] = 1e4
    from_moved = decoder.decode(Responses.single(data.space, test.ids, moved), seeds=seeds(20))
    np.testing.assert_array_equal(from_moved.images, decoder.decode(test, seeds=seeds(20)).images)


@pytest.mark.parametrize("kind", [LinearDecoder, NearestTrainDecoder])
def test_saved_decoders_make_the_same_bytes(kind, tmp_path):
    data = subject()
    decoder = kind(kind.Params())
    decoder.fit(data.training(), PlainFeatures(), **FIT)
    decoder.save(tmp_path)
    again = kind.load(tmp_path, decoder.params, device="cpu")
    again.open(data.space, device="cpu")
    before, after = (d.decode(data.test.responses, seeds=seeds(20)) for d in (decoder, again))
    assert before.images.tobytes() == after.images.tobytes()
    if before.embedding is not None:
        assert before.embedding.tobytes() == after.embedding.tobytes()
    parts = [data.test.responses.select(ids) for ids in (one_to(data, 7), one_to(data, 20)[7:])]
    split = np.concatenate([again.decode(part, seeds=seeds(len(part.ids))).images for part in parts])
    assert np.abs(split.astype(int) - before.images).max() <= 1


def one_to(data: SubjectData, n: int) -> tuple[str, ...]:
    return data.test.stimuli.ids[:n]


@pytest.mark.parametrize("kind", [LinearDecoder, NearestTrainDecoder])
def test_decoders_refuse_another_space(kind):
    data = subject()
    decoder = kind(kind.Params())
    with pytest.raises(SpaceMismatch, match="not fitted"):
        decoder.open(data.space, device="cpu")
    decoder.fit(data, PlainFeatures(), **FIT)
    with pytest.raises(SpaceMismatch, match="subject is 's2', expected 's1'"):
        decoder.open(subject("s2").space, device="cpu")
    with pytest.raises(SpaceMismatch, match="subject is 's2', expected 's1'"):
        decoder.decode(subject("s2").test.responses, seeds=seeds(20))
    space = replace(data.space, valid=np.zeros(60, bool))
    with pytest.raises(DataError, match="every voxel of s1 is masked"):
        kind(kind.Params()).fit(replace(data, space=space), PlainFeatures(), **FIT)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (LinearDecoder, "components.safetensors"),
        (LinearDecoder, "ridge.safetensors"),
        (LinearDecoder, "valid.npy"),
        (NearestTrainDecoder, "images.npy"),
        (NearestTrainDecoder, "patterns.npy"),
    ],
)
@pytest.mark.parametrize("damage", ["torn", "empty", "gone"])
def test_torn_files_are_refused(kind, file, damage, tmp_path):
    decoder = kind(kind.Params())
    decoder.fit(subject(), PlainFeatures(), **FIT)
    decoder.save(tmp_path)
    whole = (tmp_path / file).read_bytes()
    if damage == "gone":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(whole[: len(whole) // 2] if damage == "torn" else b"")
    with pytest.raises(DataError, match=r"fit (it|them|the model) again"):
        kind.load(tmp_path, decoder.params, device="cpu")


def test_linear_refuses_what_it_cannot_use():
    with pytest.raises(ConfigError, match=r"decoder.components is 0; it must be at least 1"):
        LinearDecoder.Params(components=0)
    with pytest.raises(ConfigError, match="expected positive numbers"):
        LinearDecoder.Params(alphas=())
    with pytest.raises(ConfigError, match="choosing among penalties needs 2 or more"):
        LinearDecoder.Params(folds=1)
    decoder = linear(subject())
    with pytest.raises(
        DataError, match=r"images of \(8, 8, 3\) given; the components were made from images of"
    ):
        decoder.generate(np.zeros((2, 8, 8, 3), np.uint8), seeds=seeds(2))
    data = subject()
    same = Stimuli.from_array(data.train.stimuli.ids, np.full((150, 4, 4, 3), 9, np.uint8))
    with pytest.raises(DataError, match="the 150 training images are all equal"):
        linear(replace(data, train=Split(same, data.train.responses)))


def test_nearest_train_returns_training_images_of_like_patterns():
    data = subject(noise=0.05)
    decoder = NearestTrainDecoder(NearestTrainDecoder.Params())
    decoder.fit(data, PlainFeatures(), **FIT)
    train = data.train.responses
    itself = decoder.decode(Responses.single(data.space, train.ids, train.mean()), seeds=seeds(150))
    assert itself.images.shape == (150, 1, 12, 16, 3)
    np.testing.assert_array_equal(itself.images[:, 0], data.train.stimuli.images())
    images = decoder.decode(data.test.responses, seeds=seeds(20)).images[:, 0]
    valid = data.space.valid
    r = np.corrcoef(data.test.responses.mean()[:, valid], train.mean()[:, valid])[:20, 20:]
    np.testing.assert_array_equal(images, data.train.stimuli.images()[r.argmax(axis=1)])


@pytest.mark.skipif(not DIGITS.is_file(), reason="the measured digits are not on this machine")
def test_digits_are_identified_from_measured_fmri():
    from scipy.io import loadmat

    content = loadmat(DIGITS)
    responses = {part: content[f"fmri{part}"] for part in ("Trn", "Test")}
    images = {part: content[f"stim{part}"].reshape(-1, 28, 28, 1).repeat(3, axis=3) for part in responses}
    mean, sd = responses["Trn"].mean(axis=0), responses["Trn"].std(axis=0)
    space = VoxelSpace("digits", "s1", "V1-V3", 3092, "zscore", "digits", valid=sd > 0)

    def split(part: str) -> Split:
        ids = [f"{part}{k}" for k in range(len(images[part]))]
        scaled = np.divide(responses[part] - mean, sd, out=np.zeros_like(responses[part]), where=sd > 0)
        return Split(Stimuli.from_array(ids, images[part]), Responses.single(space, ids, scaled))

    data = SubjectData(space, split("Trn"), split("Test"))
    decoded_images = linear(data).decode(data.test.responses, seeds=seeds(10)).images[:, 0]
    truth = images["Test"].reshape(10, -1)
    r = np.corrcoef(truth, decoded_images.reshape(10, -1))[:10, 10:]
    assert (r < np.diag(r)).sum() / 90 > 0.85
    mean_image = images["Trn"].mean(axis=0).reshape(-1)
    assert np.diag(r).mean() > np.corrcoef(truth, mean_image)[-1, :-1].mean() + 0.05
