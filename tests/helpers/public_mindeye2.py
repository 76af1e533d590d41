"""MindEye2 at toy size, and its files in the layout of the public ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from random_towers import random_tower

from harness.api import Responses, Split, Stimuli, SubjectData, VoxelSpace
from harness.backbones import openclip
from harness.decoders.mindeye2 import (
    backbone,
    embedder,
    generator,
    inference,
    model,
    public,
    teacher,
    unclip,
    unclip_keys,
)
from harness.nn import diffusion_prior as prior

UNET = unclip.UNetSettings(
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
NETWORK = model.ModelSettings(
    backbone.BackboneSettings(
        hidden=16, blocks=1, token_dim=12, tokens=4, side=2, map_channels=8, decoder_channels=(8, 8, 8),
        norm_groups=4, auxiliary_dim=6,
    ),
    prior.PriorSettings(token_dim=12, tokens=4, depth=1, heads=2, head_size=8),
)  # fmt: skip
TOWER = dataclasses.replace(openclip.BIGG_IMAGE, side=28, width=12, depth=1, heads=2, projected=4)
TEACHER = teacher.TeacherSettings(depths=(1, 1), widths=(4, 6), projected=6)
TOY = public.PublicSizes(UNET, VAE, TOWER, NETWORK, HOW, TEACHER)
QUICK = {"hidden": 16, "epochs": 3, "batch": 4, "steps": 2, "prior_steps": 4}


def subject(name="s1", seed=0):
    rng = np.random.default_rng(seed)
    valid = np.arange(10) != 3
    space = VoxelSpace("toy", name, "all", 10, "zscore", name, valid=valid)
    ids = [f"i{k}" for k in range(12)]
    images = rng.integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
    index = np.repeat(np.arange(12), 2)
    trials = rng.standard_normal((24, 10)).astype(np.float32)
    trials[:, 3] = np.nan
    split = Split(Stimuli.from_array(ids, images), Responses(space, ids, trials, index))
    return SubjectData(space, split, None)


def build_generator() -> generator.Generator:
    """The generator at toy size, weights at random."""
    torch.manual_seed(0)
    unet, vae = unclip.build_unet(UNET).eval(), generator.build_vae(VAE).eval()
    return generator.Generator(unet, vae, UNET, VAE, HOW)


def write_public_folder(folder: Path, built: generator.Generator) -> Path:
    """A folder as the public one, its networks small."""
    file = folder / public.GENERATOR
    public_file(built, file)
    content = torch.load(file, weights_only=True)
    tower = random_tower(openclip.image_tower(TOWER)).state_dict()
    content["state_dict"] |= {f"{embedder.PREFIXES[0]}{name}": value for name, value in tower.items()}
    torch.save(content, file)
    torch.save(built.vae.state_dict(), folder / public.LOW_LEVEL)
    write_teacher(folder / public.TEACHER, TEACHER)
    shared = model.MindEye2Network([5, 6], NETWORK)
    log = folder / "train_logs" / "final_multisubject_s1"
    log.mkdir(parents=True)
    torch.save({"model_state_dict": shared.state_dict(), "epoch": 149}, log / "last.pth")
    return folder


def public_file(built, path):
    """The built generator under the names of the public checkpoint, with what else is in there."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    # The table in diffusers maps checkpoint names to its own; marked tensors show where each goes.
    names = sgm_unet_names()
    marked = {name: torch.zeros(1) for name in names}
    table = convert_ldm_unet_checkpoint(dict(marked), unclip.diffusers_config(UNET))
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


def to_sgm_names(state):
    """A two-level VAE's names in the original layout, written out by hand."""
    renamed = {}
    for name, value in state.items():
        for old, new in (
            ("down_blocks.0.resnets.", "down.0.block."),
            ("down_blocks.1.resnets.", "down.1.block."),
            ("down_blocks.0.downsamplers.0.", "down.0.downsample."),
            ("up_blocks.0.resnets.", "up.1.block."),
            ("up_blocks.1.resnets.", "up.0.block."),
            ("up_blocks.0.upsamplers.0.", "up.1.upsample."),
            ("mid_block.resnets.0.", "mid.block_1."),
            ("mid_block.resnets.1.", "mid.block_2."),
            ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
            ("mid_block.attentions.0.to_q", "mid.attn_1.q"),
            ("mid_block.attentions.0.to_k", "mid.attn_1.k"),
            ("mid_block.attentions.0.to_v", "mid.attn_1.v"),
            ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"),
            ("conv_shortcut", "nin_shortcut"),
            ("conv_norm_out", "norm_out"),
        ):
            name = name.replace(old, new)
        is_projection = ".attn_1." in name and name.endswith("weight") and "norm" not in name
        renamed[f"first_stage_model.{name}"] = value[:, :, None, None] if is_projection else value
    return renamed


def names_and_shapes(sizes: teacher.TeacherSettings) -> dict[str, tuple[int, ...]]:
    """What VICRegL's file holds of a network of these sizes, written out from its ``convnext.py``."""
    shapes, before = {}, 3
    for stage, (depth, width) in enumerate(zip(sizes.depths, sizes.widths)):
        at = f"module.backbone.downsample_layers.{stage}"
        side, (norm, conv) = (4, (1, 0)) if stage == 0 else (2, (0, 1))
        shapes[f"{at}.{norm}.weight"] = shapes[f"{at}.{norm}.bias"] = (width if stage == 0 else before,)
        shapes |= {f"{at}.{conv}.weight": (width, before, side, side), f"{at}.{conv}.bias": (width,)}
        for block in range(depth):
            at = f"module.backbone.stages.{stage}.{block}"
            shapes |= {f"{at}.dwconv.weight": (width, 1, 7, 7), f"{at}.dwconv.bias": (width,)}
            shapes |= {f"{at}.norm.weight": (width,), f"{at}.norm.bias": (width,)}
            shapes |= {f"{at}.pwconv1.weight": (4 * width, width), f"{at}.pwconv1.bias": (4 * width,)}
            shapes |= {f"{at}.pwconv2.weight": (width, 4 * width), f"{at}.pwconv2.bias": (width,)}
        before = width
    shapes |= {"module.backbone.norm.weight": (before,), "module.backbone.norm.bias": (before,)}
    at, wide = "module.maps_projector", sizes.projected
    for layer, given in ((0, before), (3, wide)):
        shapes |= {f"{at}.{layer}.weight": (wide, given), f"{at}.{layer}.bias": (wide,)}
        shapes |= {f"{at}.{layer + 1}.weight": (wide,), f"{at}.{layer + 1}.bias": (wide,)}
    return shapes | {f"{at}.6.weight": (wide, wide)}


def small_weights(sizes: teacher.TeacherSettings, seed=0) -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    shapes = names_and_shapes(sizes)
    return {name: 0.4 * torch.randn(shape, generator=drawn) for name, shape in shapes.items()}


def write_teacher(file, sizes: teacher.TeacherSettings):
    """As the public file: the network among other projectors, an optimizer's state and a number."""
    others = {"module.projector.0.weight": torch.zeros(3, 10), "module.classifier.bias": torch.zeros(4)}
    content = {"epoch": 400, "model": {**small_weights(sizes), **others}, "optimizer": {"state": {}}}
    torch.save(content, file)
    return file
