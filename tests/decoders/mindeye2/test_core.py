"""The whole chain of MindEye2 at toy size: fit, decode, ceiling, save, refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from plain_features import PlainFeatures
from public_mindeye2 import NETWORK, subject
from torch import nn
from torchvision.transforms import Resize

from harness.api import ConfigError, SpaceMismatch, Split, Stimuli, SubjectData
from harness.decoders.mindeye2 import (
    core,
    fitting,
    generator,
    inference,
    low_level,
    model,
    settings,
    unclip,
)
from harness.decoders.mindeye2 import (
    parts as decoder_parts,
)

UNET = unclip.UNetSettings(
    channels=32, multipliers=(1, 2), blocks=1, depth=(1, 1), attention_at=(2,), head_channels=16,
    token_dim=12, vector_dim=32,
)  # fmt: skip
VAE = generator.VaeSettings(channels=(8, 16), blocks=1, norm_groups=4)
HOW = settings.DecodeSettings(
    fit=fitting.FitSettings(epochs=3, batch=4, learning_rate=1e-3), prior_steps=5, candidates=2
)


class Quadrants(nn.Module):
    """Four tokens: what is in the four quadrants of a 16-pixel image."""

    def forward(self, images):
        means = nn.functional.adaptive_avg_pool2d(images, 4).unfold(2, 2, 2).unfold(3, 2, 2)
        return means.permute(0, 2, 3, 1, 4, 5).reshape(len(images), 4, 12)


def parts(**changes):
    torch.manual_seed(0)
    unet, vae = unclip.build_unet(UNET).eval(), generator.build_vae(VAE).eval()
    how = inference.GeneratorSettings(side=8, picture=16, steps=2)
    drawer = generator.Generator(unet, vae, UNET, VAE, how)
    return decoder_parts.Parts(Quadrants(), drawer, **{"settings": NETWORK, "vae": vae, **changes})


SEEDS = np.arange(12, dtype=np.uint64)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    decoder = core.MindEye2Core(parts(), HOW)
    decoder.fit(subject(), PlainFeatures(), seed=1, device="cpu", checkpoint_dir=tmp_path_factory.mktemp("a"))
    return decoder


def test_everything_has_its_shape(fitted):
    decoded = fitted.decode(subject().train.responses, seeds=SEEDS)
    assert decoded.images.shape == (12, 2, 16, 16, 3)
    assert decoded.embedding.shape == (12, 4, 12)
    assert decoded.low_level.shape == (12, 16, 16, 3)
    assert np.isfinite(decoded.images).all()
    assert decoded.images.min() >= 0
    assert decoded.images.max() <= 1
    assert np.abs(decoded.images[:, 0] - decoded.images[:, 1]).max() > 1e-3  # two candidates, other noise
    assert fitted.embed(decoded.images[:, 0]).shape == (12, 48)


def test_a_saved_decoder_decodes_the_same(fitted, tmp_path):
    fitted.save(tmp_path)
    again = core.MindEye2Core(parts(), HOW)
    again.restore(tmp_path, device="cpu")
    responses = subject().train.responses
    before, after = (d.decode(responses, seeds=SEEDS) for d in (fitted, again))
    np.testing.assert_array_equal(before.images, after.images)
    np.testing.assert_array_equal(before.embedding, after.embedding)


def test_an_image_is_decoded_alike_in_any_company(fitted):
    responses = subject().train.responses
    whole = fitted.decode(responses, seeds=SEEDS)
    alone = fitted.decode(responses.select(["i7"]), seeds=SEEDS[7:8])
    np.testing.assert_allclose(alone.images[0], whole.images[7], atol=1e-4)


def test_the_ceiling_starts_from_true_tokens_and_latents(fitted):
    images = subject().train.stimuli.images()
    decoded = fitted.generate(images, seeds=SEEDS)
    np.testing.assert_allclose(decoded.embedding.reshape(12, -1), fitted.embed(images), atol=1e-6)
    planes = torch.from_numpy(images / np.float32(255)).permute(0, 3, 1, 2)
    latents = low_level.low_level_targets(fitted.parts.vae, planes)
    blurry = low_level.decode_low_level(fitted.parts.vae, latents).permute(0, 2, 3, 1)
    np.testing.assert_allclose(decoded.low_level, blurry.numpy(), atol=1e-5)
    np.testing.assert_allclose(fitted.generate(images / 255.0, seeds=SEEDS).images, decoded.images, atol=1e-5)


def test_the_blurry_image_stands_beside_the_pictures_and_is_not_in_them(fitted):
    """Neither share changes what is decoded or drawn; it is said for whoever scores."""
    responses, images = subject().train.responses, subject().train.stimuli.images()
    for share in (0.0, 1.0):
        other = core.MindEye2Core(fitted.parts, dataclasses.replace(HOW, blend=share))
        other.space, other.network = fitted.space, fitted.network
        assert other.blend == share
        for blended, unblended in (
            (fitted.decode(responses, seeds=SEEDS), other.decode(responses, seeds=SEEDS)),
            (fitted.generate(images, seeds=SEEDS), other.generate(images, seeds=SEEDS)),
        ):
            np.testing.assert_array_equal(blended.images, unblended.images)
            np.testing.assert_array_equal(blended.low_level, unblended.low_level)
    assert fitted.blend == 0.25


@pytest.mark.parametrize("side", [11, 16, 37])
def test_stimuli_of_any_size_have_latents_of_the_heads_size(side, tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (12, side, side, 3)).astype(np.uint8)
    given = subject()
    split = Split(Stimuli.from_array(given.train.stimuli.ids, images), given.train.responses)
    seen = []

    def teacher(planes):
        seen.append(tuple(planes.shape[1:]))
        return planes.mean((2, 3))[:, None].expand(-1, 4, -1).repeat(1, 1, 2)

    sized_parts = parts(teacher=lambda: teacher)
    decoder = core.MindEye2Core(sized_parts, HOW)
    features = PlainFeatures()
    decoder.fit(
        SubjectData(given.space, split, None), features, seed=1, device="cpu", checkpoint_dir=tmp_path
    )
    latents = features.values["latents"]
    assert latents.shape == (12, 4, 8, 8)
    planes = torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)
    sized = Resize((16, 16), antialias=True)(planes)
    np.testing.assert_allclose(
        latents, low_level.low_level_targets(sized_parts.vae, sized).numpy(), atol=2e-3
    )
    assert set(seen) == {(3, 16, 16)}
    assert decoder.decode(split.responses, seeds=SEEDS).images.shape == (12, 2, 16, 16, 3)
    ceiling = decoder.generate(images, seeds=SEEDS)
    assert ceiling.low_level.shape == (12, 16, 16, 3)


def test_parts_of_unequal_sizes_are_refused_before_anything_is_computed(tmp_path):
    narrow = dataclasses.replace(NETWORK.backbone, latent_channels=3)
    short = dataclasses.replace(NETWORK.backbone, tokens=5)
    fewer = dataclasses.replace(NETWORK.prior, tokens=5)
    for sizes, words in (
        (
            dataclasses.replace(NETWORK, backbone=narrow),
            r"latents of shape \(3, 8, 8\) and its VAE .*\(4, 8, 8\)",
        ),
        (model.ModelSettings(short, fewer), r"tokens of shape \(5, 12\) and its embedder makes \(4, 12\)"),
    ):
        with pytest.raises(ConfigError, match=words):
            core.MindEye2Core(parts(settings=sizes), HOW).fit(
                subject(), PlainFeatures(), seed=1, device="cpu", checkpoint_dir=tmp_path / "never"
            )
        assert not (tmp_path / "never").exists()


def test_a_stopped_fit_ends_in_the_same_weights(fitted, tmp_path, monkeypatch):
    how = dataclasses.replace(HOW, fit=dataclasses.replace(HOW.fit, checkpoint_every=4))
    real = fitting.training_losses
    calls = []

    def failing(*words, **more):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return real(*words, **more)

    monkeypatch.setattr(fitting, "training_losses", failing)
    stopped = core.MindEye2Core(parts(), how)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(subject(), PlainFeatures(), seed=1, device="cpu", checkpoint_dir=tmp_path)
    resumed = core.MindEye2Core(parts(), how)
    resumed.fit(subject(), PlainFeatures(), seed=1, device="cpu", checkpoint_dir=tmp_path)
    assert len(calls) == 10 + 18 - 8  # 18 steps, of which 8 were kept
    for name, value in fitted.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


def test_a_new_subject_starts_from_the_pretrained_part(fitted, tmp_path):
    other = core.MindEye2Core(parts(pretrained=lambda space: fitted.network.state_dict()), HOW)
    start = {}
    real = fitting.fit_network

    def spy(network, *words, **more):
        start.update({name: value.clone() for name, value in network.state_dict().items()})
        return real(network, *words, **more)

    fitting.fit_network = spy
    try:
        other.fit(subject("s2", seed=5), PlainFeatures(), seed=1, device="cpu", checkpoint_dir=tmp_path)
    finally:
        fitting.fit_network = real
    name = "backbone.backbone_linear.weight"
    assert torch.equal(start[name], fitted.network.state_dict()[name])
    assert not torch.equal(start["ridge.linears.0.bias"], fitted.network.ridge.linears[0].bias)


def test_other_subjects_and_impossible_parts_are_refused(fitted):
    with pytest.raises(SpaceMismatch, match="subject is 's2', expected 's1'"):
        fitted.open(subject("s2").space, device="cpu")
    with pytest.raises(SpaceMismatch, match="not fitted; call fit"):
        core.MindEye2Core(parts(), HOW).open(subject().space, device="cpu")
    with pytest.raises(ConfigError, match="low-level head and no VAE"):
        parts(vae=None)
    wide = model.ModelSettings(
        dataclasses.replace(NETWORK.backbone, token_dim=16), dataclasses.replace(NETWORK.prior, token_dim=16)
    )
    with pytest.raises(ConfigError, match="tokens of size 16, the generator reads 12"):
        parts(settings=wide)
    with pytest.raises(ConfigError, match=r"decoder.blend is 2; expected 0 to 1"):
        settings.DecodeSettings(blend=2)
    with pytest.raises(ConfigError, match=r"decoder.candidates is 0"):
        settings.DecodeSettings(candidates=0)
