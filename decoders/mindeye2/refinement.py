"""Refinement: SDXL redraws the second half of a picture's noise, prompted with the predicted caption.

As in the public notebook ``enhanced_recon_inference`` of MindEye2 (Scotti et al. 2024): the picture, once
at 256 pixels, is encoded (a sample of the posterior, not its mode), noised to the level of step 13 of
25, and denoised by twelve Euler steps with guidance 5.  This is img2img of strength 0.48 (Meng et al.
2022, SDEdit).  The model is a fine-tuned SDXL, ``zavychromaxl_v30.safetensors``.  The caption is embedded by
the text towers as first published, the unwanted tags by those inside the checkpoint.

Here every image has random generators of its own.  The UNet runs in the precision of its weights, prompts,
VAE and the sum of the steps in float32.  The public files were never seen here; names are those of sgm's
SDXL and of OpenCLIP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.api import DataError
from harness.nn.halving import cast, safe_attention

from ..files import load_exactly
from .checkpoints import read_weights
from .conditions import conditions_once
from .generator import VaeSettings, build_vae
from .low_level import decode_sliced, encode_sliced, resize_bilinear
from .prompts import CLIP_PREFIX, OPEN_PREFIX, PromptEncoder, Prompts, PromptSizes, under
from .room import Room
from .settings import RefineSettings
from .unclip import UNetSettings, diffusers_config
from .unclip_keys import unet_state, vae_state

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNWANTED = ", ".join(
    (
        *("painting", "extra fingers", "mutated hands", "poorly drawn hands", "poorly drawn face"),
        *("deformed", "ugly", "blurry", "bad anatomy", "bad proportions", "extra limbs", "cloned face"),
        *("skinny", "glitchy", "double torso", "extra arms", "extra hands", "mangled fingers"),
        *("missing lips", "ugly face", "distorted face", "extra legs", "anime"),
    )
)
"""The negative prompt of the public notebook."""

SIZE_NUMBERS = 6
"""Original height and width, crop, target height and width."""


@dataclass(frozen=True)
class RefinerSizes:
    """Sizes of what the checkpoint holds; the defaults are SDXL's."""

    unet: UNetSettings = field(default_factory=lambda: UNetSettings(token_dim=2048, vector_dim=2816))
    vae: VaeSettings = field(default_factory=VaeSettings)
    prompts: PromptSizes = field(default_factory=PromptSizes)


def sdxl_config(sizes: RefinerSizes) -> dict[str, Any]:
    """Arguments of ``UNet2DConditionModel``: as the generator's, but its vector holds a pooled text too."""
    pooled = sizes.prompts.open.projected
    return {
        **diffusers_config(sizes.unet),
        "class_embed_type": None,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (sizes.unet.vector_dim - pooled) // SIZE_NUMBERS,
    }


class Refiner(nn.Module):
    """Pictures and captions -> refined pictures.

    Parameters
    ----------
    unet, vae : diffusers' networks of SDXL.
    prompts : embeds captions.
    unwanted : the embedded negative prompt, one row.
    """

    def __init__(
        self,
        unet: nn.Module,
        vae: nn.Module,
        prompts: PromptEncoder,
        unwanted: Prompts,
        settings: RefineSettings | None = None,
    ) -> None:
        super().__init__()
        self.unet, self.vae, self.prompts = unet, vae, prompts
        self.settings = settings or RefineSettings()
        self.register_buffer("unwanted_states", unwanted.states)
        self.register_buffer("unwanted_pooled", unwanted.pooled)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(
        self,
        pictures: torch.Tensor,
        captions: Sequence[str],
        *,
        generators: Sequence[torch.Generator],
        room: Room | None = None,
    ) -> torch.Tensor:
        """Pictures (N, 3, H, W) in [0, 1], a caption and a CPU generator each -> (N, 3, picture, picture).

        `room` brings the parts in as they are used.
        """
        room = room or Room(str(self.unwanted_states.device))
        s, device, dtype = self.settings, room.device, self.unet.dtype
        if not len(pictures) == len(captions) == len(generators):
            raise DataError(
                f"{len(pictures)} pictures, {len(captions)} captions and {len(generators)} generators; "
                "expected one of each per image"
            )
        seen = resize_bilinear(resize_bilinear(pictures.to(device), s.seen), s.picture)
        with room.use(self.vae):
            mean, spread = encode_sliced(self.vae, 2 * seen - 1)

        def noise() -> torch.Tensor:
            shape = tuple(mean.shape[1:])
            return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(
                device
            )

        times, sigmas = s.schedule()
        latent = (mean + spread * noise()) * s.latent_scale + sigmas[0] * noise()
        with room.use(self.prompts):
            states, more = self._conditions(captions, device=device, dtype=dtype)
        with room.use(self.unet), safe_attention(device, dtype), conditions_once(self.unet):
            for number, time in enumerate(times.tolist()):
                sigma, after = sigmas[number].item(), sigmas[number + 1].item()
                scaled = (latent / (sigma**2 + 1) ** 0.5).to(dtype)
                output = self.unet(
                    torch.cat([scaled, scaled]), time, encoder_hidden_states=states, added_cond_kwargs=more
                )
                without, given = output.sample.float().chunk(2)
                latent = latent + (after - sigma) * (without + s.guidance * (given - without))
        with room.use(self.vae):
            return (decode_sliced(self.vae, latent / s.latent_scale) / 2 + 0.5).clamp(0, 1)

    def _conditions(
        self, captions: Sequence[str], *, device: torch.device, dtype: torch.dtype
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Both halves of the guidance, the unwanted first, (2 N, ...) each; sizes stay in float32."""
        s, count = self.settings, len(captions)
        given = self.prompts(captions)
        unwanted = self.unwanted_states.to(device), self.unwanted_pooled.to(device)
        sizes = torch.tensor([[s.picture, s.picture, 0, 0, s.target, s.target]], device=device)
        more = {
            "text_embeds": torch.cat([unwanted[1].expand(count, -1), given.pooled]).to(dtype),
            "time_ids": sizes.float().expand(2 * count, -1),
        }
        return torch.cat([unwanted[0].expand(count, -1, -1), given.states]).to(dtype), more

    @classmethod
    def from_public(
        cls,
        checkpoint: Path,
        *,
        clip: Mapping[str, torch.Tensor],
        open_text: Mapping[str, torch.Tensor],
        tokenizer: Tokenizer,
        sizes: RefinerSizes | None = None,
        settings: RefineSettings | None = None,
        dtype: torch.dtype = torch.float32,
        vae: nn.Module | None = None,
    ) -> Refiner:
        """Read a single-file checkpoint of SDXL such as ``zavychromaxl_v30.safetensors``.

        `clip` and `open_text` are the text towers as first published, for captions; those in the checkpoint
        embed the negative prompt and are not kept.  `dtype` is that of the UNet; `vae` one to take in place
        of the file's.
        """
        from diffusers import UNet2DConditionModel

        sizes = sizes or RefinerSizes()
        weights, config = read_weights(checkpoint), sdxl_config(sizes)
        with torch.device("meta"):
            unet, own_vae = cast(UNet2DConditionModel(**config), dtype), build_vae(sizes.vae)
        unet = unet.to_empty(device="cpu")
        what = f"an SDXL checkpoint, {checkpoint.name}"
        load_exactly(unet, unet_state(weights, config, what=what), what=f"the UNet in {checkpoint.name}")
        if vae is None:
            vae = own_vae.to_empty(device="cpu")
            load_exactly(vae, vae_state(weights, vae.config, what=what), what=f"the VAE in {checkpoint.name}")
        own = PromptEncoder.of(
            under(weights, CLIP_PREFIX),
            under(weights, OPEN_PREFIX),
            tokenizer,
            sizes.prompts,
            what=checkpoint.name,
        )
        unwanted = own([UNWANTED])
        stock = PromptEncoder.of(clip, open_text, tokenizer, sizes.prompts, what="the published weights")
        return cls(unet, vae, stock, unwanted, settings)
