"""Names of the UNet and VAE in public checkpoints of sgm -> names in diffusers.

diffusers has the table; what is added is that nothing may be missing or left over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api import DataError

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
UNCLIP = "the unCLIP checkpoint, unclip6_epoch0_step110000.ckpt"


def unet_state(
    weights: Mapping[str, torch.Tensor], config: Mapping[str, Any], *, what: str = UNCLIP
) -> dict[str, torch.Tensor]:
    """Weights named ``model.diffusion_model.*`` -> state of a diffusers UNet.

    `config` is that of the UNet (:func:`~.unclip.diffusers_config`), `what` the file in words.  Raises
    :class:`DataError` when a name has no place in the UNet.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    wanted = {name: value for name, value in weights.items() if name.startswith(UNET_PREFIX)}
    if not wanted:
        raise DataError(f"no weight is named {UNET_PREFIX}*; expected {what}")
    try:
        converted = convert_ldm_unet_checkpoint(dict(wanted), dict(config))
    except KeyError as missing:
        raise DataError(f"{what} lacks {missing}; is the file complete?") from None
    placed = {id(value) for value in converted.values()}
    left = [name for name, value in wanted.items() if id(value) not in placed]
    if left:
        raise DataError(f"{len(left)} weights of {what} have no place, first '{left[0]}'")
    return converted


def vae_state(
    weights: Mapping[str, torch.Tensor], config: Mapping[str, Any], *, what: str = UNCLIP
) -> dict[str, torch.Tensor]:
    """Weights named ``first_stage_model.*`` -> state of a diffusers ``AutoencoderKL``."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    wanted = {name: value for name, value in weights.items() if name.startswith(VAE_PREFIX)}
    if not wanted:
        raise DataError(f"no weight is named {VAE_PREFIX}*; expected {what}")
    return convert_ldm_vae_checkpoint(wanted, dict(config))


def modern_vae_attention(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the VAE attention of diffusers before 0.15: query, key, value, proj_attn.

    ``sd_image_var_autoenc.pth`` is of that age; newer files pass unchanged.
    """
    old = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    renamed = {}
    for name, value in weights.items():
        *path, layer, kind = name.split(".")
        if "attentions" in path and layer in old:
            layer = old[layer]
        renamed[".".join([*path, layer, kind])] = value
    return renamed
