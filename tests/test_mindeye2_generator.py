"""Keeping a generator in a folder, and reading one from a file in the public layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from test_mindeye2_unclip import to_sgm_names

from harness.api import DataError, WeightsMissing
from harness.decoders.mindeye2 import generator, inference, unclip, unclip_keys

SIZES = unclip.UNetSettings(
    channels=32,
    multipliers=(1, 2),
    blocks=1,
    depth=(1, 1),
    attention_at=(2,),
    head_channels=16,
    token_dim=12,
    vector_dim=32,
)
VAE = generator.VaeSettings(channels=(8, 16), blocks=1, norm_groups=4)
HOW = inference.GeneratorSettings(side=8, picture=16, steps=2)


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    unet, vae = unclip.build_unet(SIZES).eval(), generator.build_vae(VAE).eval()
    return generator.Generator(unet, vae, SIZES, VAE, HOW)


def draw(made, tokens):
    seeds = np.arange(len(tokens), dtype=np.uint64)
    return made.draw(tokens, generators=inference.image_generators(seeds))


TOKENS = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))


def test_a_kept_generator_draws_the_same(built, tmp_path):
    built.save(tmp_path, half=False)
    again = generator.Generator.load(tmp_path)
    assert (again.unet_settings, again.vae_settings, again.settings) == (SIZES, VAE, HOW)
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


def public_file(built, path):
    """The built generator under the names of the public checkpoint, with what else is in there."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    # The table in diffusers maps checkpoint names to its own; marked tensors show where each goes.
    names = sgm_unet_names()
    marked = {name: torch.zeros(1) for name in names}
    table = convert_ldm_unet_checkpoint(dict(marked), unclip.diffusers_config(SIZES))
    back = {id(value): name for name, value in marked.items()}
    own = built.unet.state_dict()
    weights = {back[id(value)]: own[name] for name, value in table.items()}
    assert len(weights) == len(own)
    weights |= to_sgm_names(built.vae.state_dict())
    weights |= {"conditioner.embedders.0.model.x": torch.ones(2), "denoiser.sigmas": torch.ones(3)}
    torch.save({"state_dict": weights, "global_step": 110000}, path)


def sgm_unet_names():
    """Names of a one-block, two-level UNet in the original layout, written out by hand."""
    parts = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")
    res = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    skip = [f"skip_connection.{kind}" for kind in ("weight", "bias")]
    attend = [f"attn{k}.{part}.weight" for k in (1, 2) for part in ("to_q", "to_k", "to_v", "to_out.0")]
    attend += ["attn1.to_out.0.bias", "attn2.to_out.0.bias"]
    attend += [f"{part}.{kind}" for part in ("ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3")
               for kind in ("weight", "bias")]  # fmt: skip
    spatial = [f"{part}.{kind}" for part in ("norm", "proj_in", "proj_out") for kind in ("weight", "bias")]
    spatial += [f"transformer_blocks.0.{name}" for name in attend]
    plain = ("weight", "bias")
    names = [f"time_embed.{k}.{kind}" for k in (0, 2) for kind in plain]
    names += [f"label_emb.0.{k}.{kind}" for k in (0, 2) for kind in plain]
    names += [f"input_blocks.0.0.{kind}" for kind in plain]
    names += [f"input_blocks.1.0.{name}" for name in res]
    names += [f"input_blocks.2.0.op.{kind}" for kind in plain]
    names += [f"input_blocks.3.0.{name}" for name in res + skip]
    names += [f"input_blocks.3.1.{name}" for name in spatial]
    names += [f"middle_block.{k}.{name}" for k in (0, 2) for name in res]
    names += [f"middle_block.1.{name}" for name in spatial]
    for block, attends in ((0, True), (1, True), (2, False), (3, False)):
        names += [f"output_blocks.{block}.0.{name}" for name in res + skip]
        names += [f"output_blocks.{block}.1.{name}" for name in spatial] if attends else []
    names += [f"output_blocks.1.2.conv.{kind}" for kind in plain]
    names += [f"out.{k}.{kind}" for k in (0, 2) for kind in plain]
    return [f"{unclip_keys.UNET_PREFIX}{name}" for name in names]


def test_a_file_in_the_public_layout_gives_the_same_pictures(built, tmp_path):
    public_file(built, tmp_path / "unclip.ckpt")
    again = generator.Generator.from_public(
        tmp_path / "unclip.ckpt", unet_settings=SIZES, vae_settings=VAE, settings=HOW
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
