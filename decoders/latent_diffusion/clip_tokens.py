"""CLIP ViT-L/14's tokens as conditions: of images, of words for Versatile and for Stable Diffusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from harness.api import DataError
from harness.backbones import weights
from harness.backbones.preprocessing import CLIP
from harness.backbones.texts import clip_tokenizer
from harness.backbones.transformers_models import loaded


@dataclass(frozen=True)
class ClipSizes:
    """Sizes; the defaults are those of ViT-L/14."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    patch: int = 14
    side: int = 224
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    vocabulary: int = 49408
    length: int = 77
    projected: int = 768


class ClipTokens(nn.Module):
    """Images (B, 3, H, W) in [0, 1] and captions -> tokens and unit vectors."""

    def __init__(self, clip: nn.Module, sizes: ClipSizes, *, words: bool) -> None:
        super().__init__()
        self.clip, self.sizes = clip, sizes
        self._words = clip_tokenizer(weights.locate("clip-words")) if words else None

    @classmethod
    def from_public(cls, state: Mapping[str, torch.Tensor], sizes: ClipSizes, *, words: bool) -> ClipTokens:
        """From the weights of ``openai/clip-vit-large-patch14``, in transformers' names."""
        from transformers import CLIPConfig, CLIPModel

        s = sizes
        config = CLIPConfig(
            vision_config={
                "hidden_size": s.width, "intermediate_size": 4 * s.width, "num_hidden_layers": s.layers,
                "num_attention_heads": s.heads, "patch_size": s.patch, "image_size": s.side,
                "projection_dim": s.projected, "hidden_act": "quick_gelu",
            },
            text_config={
                "hidden_size": s.text_width, "intermediate_size": 4 * s.text_width,
                "num_hidden_layers": s.text_layers, "num_attention_heads": s.text_heads,
                "vocab_size": s.vocabulary, "max_position_embeddings": s.length,
                "projection_dim": s.projected, "hidden_act": "quick_gelu",
                "bos_token_id": s.vocabulary - 2, "eos_token_id": s.vocabulary - 1,
            },
            projection_dim=s.projected,
        )  # fmt: skip
        plain = {name: value for name, value in state.items() if not name.endswith("position_ids")}
        try:
            clip = loaded(CLIPModel, config, plain)
        except RuntimeError as problem:
            raise DataError(
                f"weights of clip: {str(problem).splitlines()[0]}; expected CLIP ViT-L/14"
            ) from None
        return cls(clip.eval().requires_grad_(False), sizes, words=words)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.parameters()).device

    @torch.no_grad()
    def image_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 257, 768): class token first, after the last norm, projected, over the norm of the first."""
        states = self.clip.vision_model(pixel_values=self._prepared(images)).last_hidden_state
        tokens = self.clip.visual_projection(self.clip.vision_model.post_layernorm(states))
        return tokens / tokens[:, :1].norm(dim=-1, keepdim=True)

    @torch.no_grad()
    def versatile_words(self, captions: Sequence[str]) -> torch.Tensor:
        """(B, 77, 768): projected, over the norm of the projected end of the text."""
        output = self._read(captions)
        pooled = self.clip.text_projection(output.pooler_output)
        return self.clip.text_projection(output.last_hidden_state) / pooled.norm(dim=-1)[:, None, None]

    @torch.no_grad()
    def stable_words(self, captions: Sequence[str]) -> torch.Tensor:
        """(B, 77, 768) after the last norm, not projected."""
        return self._read(captions).last_hidden_state

    @torch.no_grad()
    def image_vector(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 768) of unit norm."""
        return F.normalize(self.image_tokens(images)[:, 0], dim=-1)

    @torch.no_grad()
    def word_vector(self, captions: Sequence[str]) -> torch.Tensor:
        """(B, 768) of unit norm."""
        return F.normalize(self.clip.text_projection(self._read(captions).pooler_output), dim=-1)

    def _read(self, captions: Sequence[str]):
        if self._words is None:
            raise DataError("this CLIP was opened for images alone; open it with words")
        ids = torch.tensor([encoded.ids for encoded in self._words.encode_batch(list(captions))])
        return self.clip.text_model(input_ids=ids[:, : self.sizes.length].to(self.device))

    def _prepared(self, images: torch.Tensor) -> torch.Tensor:
        side = self.sizes.side
        images = images.to(self.device)
        if tuple(images.shape[-2:]) != (side, side):
            images = F.interpolate(images, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        return CLIP.normalised(images)
