"""The decoder `mindeye2` as a plugin: from files in the public layout, and from the small parts."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil

import numpy as np
import pytest
import torch
from plain_features import PlainFeatures
from public_mindeye2 import QUICK, TOY, subject

from harness.api import ConfigError, SpaceMismatch, VoxelSpace, WeightsMissing
from harness.benchmarks.scenes import draw
from harness.decoders.drawing import image_generators
from harness.decoders.mindeye2 import MindEye2Decoder, checkpoints, model, public
from harness.decoders.mindeye2.low_level import decode_low_level, low_level_targets
from harness.decoders.mindeye2.params import MindEye2Params
from harness.decoders.mindeye2.tiny import networks, small
from harness.metrics.identification import two_way
from harness.plugins import find
from harness.presets import plugin_defaults


@pytest.fixture
def toy_sizes(monkeypatch):
    monkeypatch.setattr(public, "parts", functools.partial(public.parts, sizes=TOY))


@pytest.mark.usefixtures("toy_sizes")
def test_public_files_give_a_decoder_that_fits_saves_and_decodes(folder, tmp_path):
    params = MindEye2Params(weights=str(folder), **QUICK)
    data, seeds = subject(), np.arange(12, dtype=np.uint64)
    decoder = MindEye2Decoder(params)
    decoder.fit(data, PlainFeatures(), seed=0, device="cpu", checkpoint_dir=tmp_path / "fit")
    decoded = decoder.decode(data.train.responses, seeds=seeds)
    assert decoded.images.shape == (12, 1, 16, 16, 3)
    decoder.save(tmp_path)
    again = MindEye2Decoder.load(tmp_path, params, device="cpu")
    np.testing.assert_array_equal(again.decode(data.train.responses, seeds=seeds).images, decoded.images)
    with pytest.raises(SpaceMismatch, match="subject is 's2'"):
        again.open(subject("s2").space, device="cpu")
    with pytest.raises(WeightsMissing, match=r"multisubject_s2.last\.pth is not there.*pretrained=none"):
        MindEye2Decoder(params).fit(
            subject("s2"), PlainFeatures(), seed=0, device="cpu", checkpoint_dir=tmp_path / "s2"
        )
    alone = MindEye2Decoder(dataclasses.replace(params, pretrained="none"))
    alone.fit(subject("s2"), PlainFeatures(), seed=0, device="cpu", checkpoint_dir=tmp_path / "alone")


@pytest.mark.usefixtures("toy_sizes")
def test_a_fit_from_public_files_hears_the_teacher(folder, tmp_path):
    params = MindEye2Params(weights=str(folder), blend=0.0, **QUICK)
    learned, targets = {}, {}
    for heard in (True, False):
        decoder = MindEye2Decoder(dataclasses.replace(params, teacher=heard))
        features = PlainFeatures()
        decoder.fit(subject(), features, seed=0, device="cpu", checkpoint_dir=tmp_path / str(heard))
        targets[heard] = features.values
        learned[heard] = decoder.network.state_dict()
    name = "backbone.b_maps_projector.0.weight"
    shared = torch.load(folder / "train_logs/final_multisubject_s1/last.pth", weights_only=True)
    moved = {h: (s[name] - shared["model_state_dict"][name]).abs().max() for h, s in learned.items()}
    # Without a teacher nothing but weight decay reaches the projector.
    assert moved[True] > 20 * moved[False]
    assert "views" not in targets[False]
    clean, other = (targets[True][name] for name in ("teacher", "views"))
    assert clean.shape == other.shape == (12, 4, 6)
    assert np.abs(clean - other).max() > 0


def test_the_file_is_asked_for_by_name_where_it_teaches(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / public.TEACHER).unlink()
    params = MindEye2Params(weights=str(copy))
    without = dataclasses.replace(params, teacher=False)
    assert (
        MindEye2Decoder(without).identity() != MindEye2Decoder(MindEye2Params(weights=str(folder))).identity()
    )
    for call in (MindEye2Decoder(params).identity, lambda: public.parts(params, TOY)):
        with pytest.raises(WeightsMissing, match=rf"{public.TEACHER} is not there; .*decoder.teacher=false"):
            call()
    MindEye2Decoder(dataclasses.replace(params, low_level=False)).identity()
    assert public.parts(without, TOY).teacher is None


def test_the_identity_follows_every_file_and_not_the_place(folder, tmp_path):
    params = MindEye2Params(weights=str(folder))
    first = MindEye2Decoder(params).identity()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    elsewhere = dataclasses.replace(params, weights=str(copy))
    assert MindEye2Decoder(elsewhere).identity() == first
    for file in sorted(f for f in copy.rglob("*") if f.is_file()):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert MindEye2Decoder(elsewhere).identity() != first, file.name
        file.write_bytes(content)
    assert MindEye2Decoder(elsewhere).identity() == first


def test_absent_files_are_named_with_what_to_type(folder, tmp_path):
    with pytest.raises(WeightsMissing, match=r"decoder.weights is not given.*decoder.preset=tiny"):
        MindEye2Decoder(MindEye2Params()).identity()
    with pytest.raises(WeightsMissing, match=r"'/no/where', which is no folder"):
        MindEye2Decoder(MindEye2Params(weights="/no/where")).identity()
    with pytest.raises(WeightsMissing, match=rf"{public.GENERATOR} is not there; download it"):
        MindEye2Decoder(MindEye2Params(weights=str(tmp_path))).identity()
    with pytest.raises(WeightsMissing, match=r"mine\.pth is not there"):
        MindEye2Decoder(MindEye2Params(weights=str(folder), pretrained="mine.pth")).identity()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 2}, "decoder.epochs is 2"),
        ({"learning_rate": 0.0}, "decoder.learning_rate is 0.0"),
        ({"prior_steps": 1}, "decoder.prior_steps is 1"),
        ({"steps": 1000}, "decoder.steps is 1000"),
        ({"blend": -0.1}, "decoder.blend is -0.1"),
    ],
)
def test_impossible_settings_are_refused(changed, words):
    with pytest.raises(ConfigError, match=words):
        MindEye2Params(**changed)


def presets(benchmark: str, preset: str | None = None) -> dict:
    """Parameters that the decoder's presets give."""
    return plugin_defaults(
        find("decoders", "mindeye2"), benchmark=find("benchmarks", benchmark), preset=preset
    )


def test_the_presets_are_the_paper_and_the_small_parts():
    assert MindEye2Params(**presets("paired", "paper")) == (
        MindEye2Params(captions=True, refine=True, half="float16")
    )
    tiny = tiny_params()
    assert tiny.weights == "tiny"
    assert presets("paired") == {}


def tiny_params(**changed):
    """The settings that the embedded benchmark calls for."""
    chosen = presets("embedded")
    return MindEye2Params(**{**chosen, **changed})


@pytest.fixture(scope="module")
def tiny():
    decoder = MindEye2Decoder(tiny_params())
    decoder._move("cpu")
    return decoder


@pytest.fixture(scope="module")
def scenes():
    """(24, 64, 64, 3) in [0, 1]: scenes that nothing here was trained on."""
    return draw("held-out-of-everything", range(24)).astype(np.float32) / 255


def test_the_small_vae_keeps_22_db_on_scenes_that_nothing_was_trained_on(tiny):
    """By the definition of its training log: mean over images of the dB of decode(encode(2 x - 1))."""
    scenes = draw("held-out-of-everything", range(64)).astype(np.float32) / 255
    planes = torch.from_numpy(scenes).permute(0, 3, 1, 2)
    scale = tiny.parts.latent_scale
    again = decode_low_level(
        tiny.parts.vae, low_level_targets(tiny.parts.vae, planes, scale=scale), scale=scale
    )
    error = (again - planes).square().mean((1, 2, 3))
    assert (-10 * error.log10()).mean() >= 22


def test_the_small_generator_draws_what_the_tokens_say(tiny, scenes):
    drawn = tiny.generate(scenes, seeds=np.arange(len(scenes), dtype=np.uint64)).images[:, 0]
    flat = [images.reshape(len(scenes), -1) for images in (drawn, scenes)]
    assert two_way(*flat).mean() >= 0.95
    wrong = tiny.parts.generator.draw(
        tiny.parts.embedder(torch.from_numpy(scenes[::-1].copy()).permute(0, 3, 1, 2)),
        generators=image_generators(np.arange(len(scenes), dtype=np.uint64)),
    )
    wrong = wrong.permute(0, 2, 3, 1).reshape(len(scenes), -1).numpy()
    assert two_way(wrong, flat[1]).mean() < 0.65  # the tokens decide, not the noise


def test_pictures_are_of_the_stimulus_range_in_spite_of_washed_out_tokens(tiny, scenes):
    drawn = tiny.generate(scenes, seeds=np.arange(len(scenes), dtype=np.uint64)).images
    assert abs(drawn.mean() - scenes.mean()) < 0.05
    assert drawn.min() < 0.1 < 0.9 < drawn.max()


def _subject_space(dataset: str, subject: str) -> VoxelSpace:
    return VoxelSpace(dataset, subject, "visual", 7, "zscore_session", voxels_sha="toy")


def test_each_subject_starts_from_the_other_three():
    shapes = set()
    for file in sorted(small.FOLDER.glob("shared*.safetensors")):
        version, name = file.stem.removeprefix("shared").split("-")
        assert small.shared_file(name, version or "1") == file
        log = json.loads(file.with_suffix(".json").read_text())
        assert sorted([*log["trained_on"], name]) == ["subj01", "subj02", "subj03", "subj04"]
        dataset = f"embedded@{version}" if version else "embedded"
        assert log.get("benchmark", "embedded") == dataset
        weights = small.shared_weights(tiny_params(), _subject_space(dataset, name))
        assert all((weights[key] == value).all() for key, value in small.read_weights(file).items())
        assert not any(key.startswith("ridge.") for key in weights)
        network = model.MindEye2Network([7], networks.SIZES)
        checkpoints.start_from_pretrained(network, weights)
        shapes.add(tuple((key, tuple(value.shape)) for key, value in sorted(weights.items())))
    assert len(shapes) == 1


def test_an_unknown_subject_starts_from_nothing_and_is_told(caplog):
    assert small.shared_weights(tiny_params(), _subject_space("bold5000", "CSI1")) is None
    assert "mindeye2 starts from nothing" in caplog.text
    assert small.shared_weights(tiny_params(pretrained="none"), _subject_space("embedded", "subj01")) is None
    with pytest.raises(ConfigError, match=r"the small parts have 224 and true"):
        small.parts(tiny_params(hidden=64))
