"""The unCLIP sampler, its noise, its size vector and its VAE steps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import TESTS
from public_mindeye2 import to_sgm_names

from harness.api import ConfigError, DataError
from harness.decoders.drawing import image_generators
from harness.decoders.files import load_exactly
from harness.decoders.mindeye2 import inference, low_level, unclip, unclip_keys

STEPS_38 = (
    "999 972 946 920 893 867 841 814 788 762 736 709 683 657 630 604 578 552 525 499 473 446 420 394 368 "
    "341 315 289 262 236 210 184 157 131 105 78 52 26"
)
TINY = unclip.UNetSettings(
    channels=32,
    multipliers=(1, 2),
    depth=(1, 1),
    attention_at=(2,),
    head_channels=16,
    token_dim=12,
    vector_dim=32,
)


def test_the_released_time_steps():
    steps, sigmas = unclip.euler_steps(38)
    assert steps.tolist() == [int(word) for word in STEPS_38.split()]
    assert sigmas[0].item() == pytest.approx(14.6146, abs=1e-4)
    assert sigmas[-1].item() == 0
    assert (sigmas.diff() < 0).all()
    assert unclip.euler_steps(25)[0].tolist() == [int(999 * (1 - i / 25)) for i in range(25)]
    with pytest.raises(ConfigError, match="steps is 0; expected 1 to 999"):
        unclip.euler_steps(0)


@pytest.mark.parametrize("count", [1, 7, 8, 25, 37, 38, 50, 333, 999])
def test_time_steps_equal_numpys_truncated_spacing(count):
    expected = np.linspace(999, 0, count, endpoint=False).astype(int)
    assert unclip.euler_steps(count)[0].tolist() == expected.tolist()


class LinearUNet(torch.nn.Module):
    """A stand-in for the network whose noise depends on everything that it is given."""

    config = SimpleNamespace(in_channels=4, projection_class_embeddings_input_dim=32)

    def forward(self, sample, timestep, *, encoder_hidden_states, class_labels):
        condition = encoder_hidden_states.mean((1, 2)) + 0.1 * class_labels.mean(1)
        noise = 0.3 * sample + condition.view(-1, 1, 1, 1) * (timestep / 999)
        return SimpleNamespace(sample=noise)


def test_sampling_equals_diffusers_euler_with_the_explicit_steps():
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="epsilon"
    )
    steps, _ = unclip.euler_steps(9)
    scheduler.set_timesteps(timesteps=steps.tolist())
    torch.manual_seed(0)
    start, (tokens, without), vector = (
        torch.randn(2, 4, 8, 8) * 14.6,
        torch.randn(2, 2, 5, 12),
        torch.randn(2, 32),
    )
    latent, unet = start, LinearUNet()
    for time in scheduler.timesteps:
        given = scheduler.scale_model_input(latent, time)
        noise = [
            unet(given, float(time), encoder_hidden_states=part, class_labels=vector).sample
            for part in (without, tokens)
        ]
        latent = scheduler.step(noise[0] + 5 * (noise[1] - noise[0]), time, latent).prev_sample
    ours = unclip.sample_latent(
        unet, start, tokens=tokens, unconditional=without, vector=vector, steps=9, guidance=5.0
    )
    torch.testing.assert_close(ours, latent, rtol=1e-4, atol=1e-3)


def test_every_image_has_its_own_noise():
    seeds = np.array([3, 2**64 - 1, 8], np.uint64)
    shapes = {"latent": (4, 6, 6), "tokens": (5, 12)}
    together = unclip.Draws.of(image_generators(seeds), **shapes)
    alone = unclip.Draws.of(image_generators(seeds[1:2]), **shapes)
    for name in ("latent", "tokens", "noise", "offset"):
        torch.testing.assert_close(getattr(together, name)[1:2], getattr(alone, name), rtol=0, atol=0)
        assert not torch.equal(getattr(together, name)[0], getattr(together, name)[2])


def test_the_start_has_one_offset_per_image():
    draws = unclip.Draws(
        latent=torch.ones(2, 3, 4, 4),
        tokens=torch.zeros(2, 1, 1),
        noise=torch.zeros(2, 3, 4, 4),
        offset=torch.tensor([1.0, -2.0]),
    )
    start = unclip.start_latent(draws, sigma=10.0)
    torch.testing.assert_close(start[0], torch.full((3, 4, 4), 1 + 10 * 0.04))
    torch.testing.assert_close(start[1], torch.full((3, 4, 4), 1 - 10 * 0.08))
    assert torch.equal(unclip.start_latent(draws, sigma=10.0, offset_level=0), draws.latent)


def test_the_size_vector_is_cosines_then_sines_of_each_number():
    vector = unclip.size_vector(torch.tensor([[768.0, 0.0]]), width=256).numpy()[0]
    rates = 1e4 ** -(np.arange(128) / 128)
    np.testing.assert_allclose(vector[:128], np.cos(768 * rates), atol=1e-3)
    np.testing.assert_allclose(vector[128:256], np.sin(768 * rates), atol=1e-3)
    assert (vector[256:384] == 1).all()
    assert (vector[384:] == 0).all()
    whole = unclip.picture_vector(3)
    assert whole.shape == (3, 1024)
    np.testing.assert_array_equal(whole[2, :256], unclip.size_vector(torch.tensor([[768.0]]))[0])


def test_tokens_describe_a_washed_out_image_and_the_output_undoes_it():
    images = torch.rand(2, 3, 4, 4)
    assert unclip.washed_out(images).min() >= 0.5
    decoded = torch.tensor([-2.0, -0.25, 0.0, 0.5, 1.0, 3.0])
    torch.testing.assert_close(unclip.to_picture(decoded), torch.tensor([0.0, 0.0, 0.2, 0.6, 1.0, 1.0]))


class FlatVae:
    """Decodes to the first three channels; encodes to a fixed posterior."""

    def decode(self, latents):
        return SimpleNamespace(sample=latents[:, :3])

    def encode(self, images):
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: images))


def test_pictures_do_not_depend_on_the_batch():
    seeds = np.arange(3, dtype=np.uint64)
    tokens = torch.randn(3, 5, 12)
    how = inference.GeneratorSettings(side=6, picture=48, steps=4)
    draw = lambda at: inference.draw_pictures(  # noqa: E731
        LinearUNet(), FlatVae(), tokens[at], generators=image_generators(seeds[at]), settings=how
    )
    together, alone = draw([0, 1, 2]), draw([2])
    assert together.shape == (3, 3, 6, 6)
    torch.testing.assert_close(together[2:], alone, rtol=0, atol=1e-5)
    assert together.min() >= 0
    assert together.max() <= 1


def test_a_real_tiny_unet_draws_from_its_tokens():
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    unet = unclip.build_unet(TINY).eval()
    how = inference.GeneratorSettings(side=4, picture=32, steps=2)
    seeds = image_generators(np.zeros(2, np.uint64))
    pictures = inference.draw_pictures(unet, FlatVae(), torch.randn(2, 5, 12), generators=seeds, settings=how)
    assert not torch.equal(pictures[0], pictures[1])  # same noise, other tokens


def test_low_level_targets_and_decoding_are_inverse_and_scaled():
    images = torch.rand(2, 3, 8, 8)
    latents = low_level.low_level_targets(FlatVae(), images)
    torch.testing.assert_close(latents, (2 * images - 1) * 0.18215)
    torch.testing.assert_close(low_level.decode_low_level(FlatVae(), latents), images)


def test_unfit_sizes_are_refused():
    with pytest.raises(ConfigError, match="depth has 2 entries for 3 resolutions"):
        unclip.UNetSettings(depth=(1, 2))
    with pytest.raises(ConfigError, match="40 channels, not a multiple of head_channels 64"):
        unclip.UNetSettings(channels=20)
    with pytest.raises(ConfigError, match="multiple of 32"):
        unclip.UNetSettings(channels=48, head_channels=16)


def recorded_unet():
    """The recorded UNet's weights under checkpoint names, from their shapes alone."""
    import json

    record = json.loads((TESTS / "golden" / "unclip_a.json").read_text())
    sizes = unclip.UNetSettings(channels=32, depth=(1, 2, 3), head_channels=16, token_dim=24, vector_dim=64)
    prefix = record["key_prefix_in_checkpoint"]
    weights = {prefix + name: torch.zeros(entry[0]) for name, entry in record["state_dict"].items()}
    return weights, unclip.diffusers_config(sizes)


def test_a_checkpoint_with_other_names_is_refused():
    from diffusers import UNet2DConditionModel

    weights, config = recorded_unet()
    assert len(unclip_keys.unet_state(weights, config)) == len(weights)
    with pytest.raises(DataError, match=r"no weight is named model.diffusion_model"):
        unclip_keys.unet_state({"x": torch.zeros(1)}, config)
    stray = {**weights, "model.diffusion_model.extra.weight": torch.zeros(1)}
    with pytest.raises(
        DataError, match=r"1 weights .* have no place, first 'model.diffusion_model.extra.weight'"
    ):
        unclip_keys.unet_state(stray, config)
    short = {k: v for k, v in weights.items() if "out_layers.3.bias" not in k}
    with pytest.raises(DataError, match=r"the UNet: lacks '.*conv2.bias' and \d+ more; has no other"):
        load_exactly(UNet2DConditionModel(**config), unclip_keys.unet_state(short, config), what="the UNet")


def test_old_vae_attention_names_are_renewed():
    old = {
        "decoder.mid_block.attentions.0.query.weight": 1,
        "decoder.mid_block.attentions.0.proj_attn.bias": 2,
    }
    new = {"decoder.mid_block.attentions.0.to_q.weight": 1, "decoder.mid_block.attentions.0.to_out.0.bias": 2}
    assert unclip_keys.modern_vae_attention(old) == new
    assert unclip_keys.modern_vae_attention(new) == new


def test_a_vae_survives_the_way_through_checkpoint_names():
    diffusers = pytest.importorskip("diffusers")
    config = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
    }
    vae = diffusers.AutoencoderKL(**config)
    state = vae.state_dict()
    sgm = to_sgm_names(state)
    converted = unclip_keys.vae_state(sgm, vae.config)
    fresh = diffusers.AutoencoderKL(**config)
    load_exactly(fresh, converted, what="the VAE")
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, state[name]), name
