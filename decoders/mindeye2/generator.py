"""UNet and VAE as one generator: built at any size, kept in a folder, or read from the public file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from harness.api import DataError
from harness.nn.halving import cast

from ..files import load_exactly
from .checkpoints import read_weights
from .given_files import read_record
from .inference import GeneratorSettings, draw_pictures
from .room import Room
from .unclip import UNetSettings, build_unet, diffusers_config
from .unclip_keys import modern_vae_attention, unet_state, vae_state


@dataclass(frozen=True)
class VaeSettings:
    """Sizes of the autoencoder; the defaults are those of Stable Diffusion's, SDXL's included.

    channels, blocks : width at each resolution, residual blocks at each.
    latent_channels, norm_groups : of the latent image, and of the group norms.
    """

    channels: tuple[int, ...] = (128, 256, 512, 512)
    blocks: int = 2
    latent_channels: int = 4
    norm_groups: int = 32


def build_vae(settings: VaeSettings) -> nn.Module:
    """An untrained ``diffusers.AutoencoderKL``, on the default device."""
    from diffusers import AutoencoderKL

    levels = len(settings.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.channels,
        layers_per_block=settings.blocks,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.norm_groups,
    )


def load_vae(
    weights: Mapping[str, torch.Tensor],
    settings: VaeSettings | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """A VAE from weights under diffusers' names, old or new, such as ``sd_image_var_autoenc.pth``."""
    with torch.device("meta"):
        vae = cast(build_vae(settings or VaeSettings()), dtype)
    vae = vae.to_empty(device="cpu")
    load_exactly(vae, modern_vae_attention(weights), what="the VAE")
    return _frozen(vae)


@dataclass(frozen=True)
class Generator:
    """Image tokens -> pictures.  Networks are in evaluation mode and take no gradient."""

    unet: nn.Module
    vae: nn.Module
    unet_settings: UNetSettings
    vae_settings: VaeSettings
    settings: GeneratorSettings

    def draw(
        self, tokens: torch.Tensor, *, generators: Sequence[torch.Generator], room: Room | None = None
    ) -> torch.Tensor:
        """Tokens (N, n, dim) -> pictures (N, 3, H, W) in [0, 1], float32; `room` brings the parts in."""
        expected = self.unet_settings.token_dim
        if tokens.ndim != 3 or tokens.shape[2] != expected:
            raise DataError(
                f"tokens have shape {tuple(tokens.shape)}; the generator takes (images, tokens, {expected})"
            )
        room = room or Room(str(self.unet.device))
        return draw_pictures(
            self.unet, self.vae, tokens, generators=generators, settings=self.settings, room=room
        )

    def to(self, device: str, *, dtype: torch.dtype = torch.float32) -> Generator:
        """Move; `dtype` is the UNet's alone, the VAE stays in float32."""
        if next(self.unet.parameters()).dtype != dtype:
            cast(self.unet, dtype)
        self.unet.to(device=device)
        self.vae.to(device=device)
        return self

    def save(self, folder: Path, *, half: bool = True) -> None:
        """Write ``unet.safetensors``, ``vae.safetensors`` and ``generator.json`` with sizes and hashes."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        hashes = {}
        for name in _NETWORKS:
            state = getattr(self, name).state_dict()
            stored = {
                key: (value.half() if half and value.is_floating_point() else value).cpu().contiguous()
                for key, value in state.items()
            }
            file = folder / f"{name}.safetensors"
            save_file(stored, file)
            hashes[name] = _sha_of(file)
        record = {name: dataclasses.asdict(getattr(self, name)) for name in _SETTINGS}
        text = json.dumps({**record, "sha256": hashes}, indent=1) + "\n"
        (folder / "generator.json").write_text(text)

    @classmethod
    def load(cls, folder: Path, *, settings: GeneratorSettings | None = None) -> Generator:
        """Read what :meth:`save` wrote; `settings` replaces how it draws, not what it is."""
        record = read_record(folder)
        unet_settings, vae_settings, kept = (
            kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in record[name].items()})
            for name, kind in _SETTINGS.items()
        )
        with torch.device("meta"):
            unet, vae = build_unet(unet_settings), build_vae(vae_settings)
        for name, network in (("unet", unet), ("vae", vae)):
            file = folder / f"{name}.safetensors"
            weights = read_weights(file)
            if (sha := _sha_of(file)) != record["sha256"].get(name):
                raise DataError(f"{file} was altered: SHA-256 {sha[:16]}... is not the recorded one")
            network.to_empty(device="cpu")
            load_exactly(network, weights, what=f"the generator's {name}")
        return cls(_frozen(unet), _frozen(vae), unet_settings, vae_settings, settings or kept)

    @classmethod
    def from_public(
        cls,
        path: Path,
        *,
        unet_settings: UNetSettings | None = None,
        vae_settings: VaeSettings | None = None,
        settings: GeneratorSettings | None = None,
        dtype: torch.dtype = torch.float32,
        vae: nn.Module | None = None,
    ) -> Generator:
        """Read ``unclip6_epoch0_step110000.ckpt``; its image embedder and noise table are not needed.

        `dtype` is that of the UNet; `vae` one to take in place of the file's.
        """
        unet_settings, vae_settings = unet_settings or UNetSettings(), vae_settings or VaeSettings()
        weights = read_weights(path)
        with torch.device("meta"):
            unet, own_vae = cast(build_unet(unet_settings), dtype), build_vae(vae_settings)
        unet = unet.to_empty(device="cpu")
        load_exactly(unet, unet_state(weights, diffusers_config(unet_settings)), what="the unCLIP UNet")
        if vae is None:
            vae = own_vae.to_empty(device="cpu")
            load_exactly(vae, vae_state(weights, vae.config), what="the unCLIP VAE")
        settings = settings or GeneratorSettings()
        return cls(_frozen(unet), _frozen(vae), unet_settings, vae_settings, settings)


_NETWORKS = ("unet", "vae")
_SETTINGS: dict[str, type] = {
    "unet_settings": UNetSettings,
    "vae_settings": VaeSettings,
    "settings": GeneratorSettings,
}


def _frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


def _sha_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
