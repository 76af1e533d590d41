"""Public weights of Switti and its VQ-VAE, and fitted networks: read as tensors, never run.

MindHier starts its transformer from Switti's: every tensor whose name and shape are its own is taken.  What
reads text there and voxels here begins anew (keys and values of cross-attention, their norm, the pooler), and
what MindHier does not have (text pooler, crop condition) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from harness.api import DataError

from ..files import loaded
from ..mindeye2.checkpoints import read_weights
from .encoder import EncoderSettings, HierarchicalEncoder
from .transformer import ScaleTransformer, TransformerSettings, masks
from .vqvae import VQVAE, VqVaeSettings

__all__ = [
    "Start",
    "load_encoder",
    "load_transformer",
    "load_vqvae",
    "parts_of",
    "read_weights",
    "save_networks",
    "start_from_switti",
]

NEW = ("cross_attn.to_kv.weight", "attention_y_norm.weight", "_pooler.weight", "_pooler.bias")
"""Ends of the names of tensors that begin anew where text was read."""

LEFT = ("text_pooler.", "crop_embed.", "crop_proj.", "crop_cond_scales", "lvl_1L", "attn_bias_for_masking")
"""Parts of names that Switti's files hold and MindHier does not take."""


class Start(NamedTuple):
    """What became of the tensors of Switti's file."""

    taken: tuple[str, ...]
    new: tuple[str, ...]
    left: tuple[str, ...]


def start_from_switti(network: ScaleTransformer, weights: Mapping[str, torch.Tensor]) -> Start:
    """Take every tensor that fits; DataError, in one line, where the file is of another model.

    The network's other tensors stay as they are.
    """
    own = network.state_dict()
    taken = {n: v for n, v in weights.items() if n in own and v.shape == own[n].shape}
    new = tuple(n for n in own if n not in taken)
    buffers = {name for name, _ in network.named_buffers()}
    wrong = [n for n in new if n not in buffers and not n.endswith(NEW)]
    if wrong:
        given = f"shape {tuple(weights[wrong[0]].shape)}" if wrong[0] in weights else "no such tensor"
        raise DataError(
            f"weights of Switti: '{wrong[0]}' has {given}, expected {tuple(own[wrong[0]].shape)}, and "
            f"{len(wrong) - 1} more do not fit; expected yresearch/Switti, which is for 512 pixels"
        )
    left = tuple(n for n in weights if n not in taken)
    if stray := [n for n in left if not any(part in n for part in LEFT) and not n.endswith(NEW)]:
        raise DataError(f"weights of Switti: '{stray[0]}' has no place; expected yresearch/Switti")
    network.load_state_dict(own | {n: v for n, v in taken.items() if n not in buffers})
    return Start(tuple(n for n in taken if n not in buffers), new, left)


def load_vqvae(weights: Mapping[str, torch.Tensor], settings: VqVaeSettings) -> VQVAE:
    """A frozen VQ-VAE in float32, from Switti's or VAR's file.

    The statistic of the codes' use has a row per scale of the training; nothing depends on it, so one of
    another number of scales is left out.
    """
    name, shape = "quantize.ema_vocab_hit_SV", (len(settings.sides), settings.codes)
    if name not in weights or weights[name].shape != shape:
        weights = {**weights, name: torch.zeros(shape)}
    return loaded(partial(VQVAE, settings), weights, what="the VQ-VAE").float().requires_grad_(False)


def load_encoder(
    weights: Mapping[str, torch.Tensor], settings: EncoderSettings, *, voxels: int
) -> HierarchicalEncoder:
    """A fitted fMRI encoder for `voxels` voxels; a checkpoint of another subject is refused."""
    name = "fMRI_encoder.proj.0.weight"
    if name not in weights or weights[name].ndim != 2:
        raise DataError(
            f"weights of mindhier's fMRI encoder: '{name}' is missing; expected MindHier's stage 1"
        )
    if (given := weights[name].shape[1]) != voxels:
        raise DataError(
            f"the checkpoint's fMRI encoder takes {given} voxels, the data have {voxels}; choose the "
            "checkpoint of this subject"
        )
    return loaded(partial(HierarchicalEncoder, voxels, settings), weights, what="mindhier's fMRI encoder")


def load_transformer(weights: Mapping[str, torch.Tensor], settings: TransformerSettings) -> ScaleTransformer:
    """A fitted transformer.  Its masks need not be in the file."""
    weights = {**weights, **masks(settings)}
    return loaded(partial(ScaleTransformer, settings), weights, what="mindhier's transformer")


def save_networks(encoder: nn.Module, transformer: ScaleTransformer, file: Path) -> None:
    """Both in one file, under the prefixes ``encoder.`` and ``transformer.``, without masks."""
    from safetensors.torch import save_file

    left = masks(transformer.settings)
    state = {f"encoder.{n}": v for n, v in encoder.state_dict().items()}
    state |= {f"transformer.{n}": v for n, v in transformer.state_dict().items() if n not in left}
    save_file({n: v.detach().to("cpu", copy=True).contiguous() for n, v in state.items()}, file)


def parts_of(weights: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Encoder and transformer of a file of :func:`save_networks`."""
    halves = []
    for prefix in ("encoder.", "transformer."):
        halves.append({n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)})
    return halves[0], halves[1]
