"""Keeping a generator in a folder, and reading one from a file in the public layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from public_mindeye2 import HOW, UNET, VAE, public_file

from harness.api import DataError, WeightsMissing
from harness.decoders.drawing import image_generators
from harness.decoders.mindeye2 import generator, inference, unclip


def draw(drawer, tokens):
    seeds = np.arange(len(tokens), dtype=np.uint64)
    return drawer.draw(tokens, generators=image_generators(seeds))


TOKENS = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))


def test_a_kept_generator_draws_the_same(built, tmp_path):
    built.save(tmp_path, half=False)
    again = generator.Generator.load(tmp_path)
    assert (again.unet_settings, again.vae_settings, again.settings) == (UNET, VAE, HOW)
    pictures = draw(built, TOKENS)
    assert pictures.shape == (2, 3, 16, 16)
    assert torch.equal(draw(again, TOKENS), pictures)
    assert not any(p.requires_grad for p in again.unet.parameters())
    other = inference.GeneratorSettings(side=4, picture=16, steps=1)
    assert draw(generator.Generator.load(tmp_path, settings=other), TOKENS).shape == (2, 3, 8, 8)


def test_half_precision_halves_the_files_and_hardly_moves_the_picture(built, tmp_path):
    built.save(tmp_path / "whole", half=False)
    built.save(tmp_path / "half")
    sizes = [(tmp_path / kind / "unet.safetensors").stat().st_size for kind in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    torch.testing.assert_close(
        draw(generator.Generator.load(tmp_path / "half"), TOKENS), draw(built, TOKENS), rtol=0, atol=0.02
    )


def test_altered_missing_or_foreign_files_are_refused(built, tmp_path):
    with pytest.raises(WeightsMissing, match=r"generator.json is not there"):
        generator.Generator.load(tmp_path)
    built.save(tmp_path)
    vae = tmp_path / "vae.safetensors"
    content = bytearray(vae.read_bytes())
    content[-1] ^= 1
    vae.write_bytes(content)
    with pytest.raises(DataError, match=r"vae.safetensors was altered"):
        generator.Generator.load(tmp_path)
    vae.unlink()
    with pytest.raises(WeightsMissing, match=r"vae.safetensors is not there"):
        generator.Generator.load(tmp_path)
    record = tmp_path / "generator.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "settings": 3}))
    with pytest.raises(DataError, match=r"\(settings is no mapping\); save it again"):
        generator.Generator.load(tmp_path)
    record.write_text("{")
    with pytest.raises(DataError, match="no record of a generator"):
        generator.Generator.load(tmp_path)


def test_tokens_of_another_size_are_refused(built):
    with pytest.raises(DataError, match=r"shape \(2, 5, 13\); the generator takes \(images, tokens, 12\)"):
        draw(built, torch.zeros(2, 5, 13))


def test_a_file_in_the_public_layout_gives_the_same_pictures(built, tmp_path):
    public_file(built, tmp_path / "unclip.ckpt")
    again = generator.Generator.from_public(
        tmp_path / "unclip.ckpt", unet_settings=UNET, vae_settings=VAE, settings=HOW
    )
    assert torch.equal(draw(again, TOKENS), draw(built, TOKENS))
    with pytest.raises(DataError, match="unCLIP UNet"):
        generator.Generator.from_public(tmp_path / "unclip.ckpt", unet_settings=unclip.UNetSettings(
            channels=64, multipliers=(1, 2), blocks=1, depth=(1, 1), attention_at=(2,), head_channels=16,
            token_dim=12, vector_dim=32), vae_settings=VAE)  # fmt: skip


def test_a_low_level_vae_is_read_under_old_names(built):
    state = built.vae.state_dict()
    old = {}
    for name, value in state.items():
        for new, was in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            name = name.replace(f".{new}.", f".{was}.")
        old[name] = value
    assert old.keys() != state.keys()
    vae = generator.load_vae(old, VAE)
    latents = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        assert torch.equal(vae.decode(latents).sample, built.vae.decode(latents).sample)


def test_the_public_sizes_have_the_published_number_of_parameters():
    with torch.device("meta"):
        vae = generator.build_vae(generator.VaeSettings())
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
