"""What SDXL makes of a prompt: the states of two text towers side by side, and a pooled vector.

SDXL (Podell et al. 2023, arXiv:2307.01952) reads the states before the last block of CLIP ViT-L's text
tower and of OpenCLIP's ViT-bigG, 768 and 1280 numbers per word, none normalised; the vector is bigG's
projected feature at the end of the text.  Both towers see 77 numbers of words without a mask; the rest
behind the end is filled with the end again for the first, with 0 for the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from harness.api import DataError
from harness.backbones.texts import ClipL14Text
from harness.backbones.transformers_models import loaded

from .embedder import Block
from .unclip_keys import load_exactly

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CLIP_PREFIX = "conditioner.embedders.0.transformer."
OPEN_PREFIX = "conditioner.embedders.1.model."
"""Where the two towers stand in a single-file checkpoint of SDXL."""

ENDS = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}


@dataclass(frozen=True)
class OpenTextSettings:
    """Sizes of OpenCLIP's text tower; the defaults are ViT-bigG/14's (open_clip ``ViT-bigG-14``)."""

    words: int = 49408
    length: int = 77
    width: int = 1280
    depth: int = 32
    heads: int = 20
    projected: int = 1280


@dataclass(frozen=True)
class PromptSettings:
    """Both towers: transformers' settings of the first (without ends), sizes of the second."""

    clip: Mapping[str, Any] = field(default_factory=lambda: ClipL14Text.config)
    open: OpenTextSettings = field(default_factory=OpenTextSettings)


class Prompts(NamedTuple):
    """N embedded prompts."""

    states: torch.Tensor  # (N, 77, 768 + 1280), what the UNet's cross-attention reads
    pooled: torch.Tensor  # (N, 1280), part of its vector


class OpenText(nn.Module):
    """Numbers of words (B, length) -> states before the last block, and the pooled feature.

    Names are OpenCLIP's.  The feature is read at the end of the text, the largest number.
    """

    def __init__(self, settings: OpenTextSettings) -> None:
        super().__init__()
        s = settings
        self.token_embedding = nn.Embedding(s.words, s.width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(s.length, s.width))
        self.transformer = nn.Module()
        blocks = (Block(s.width, s.heads, 4 * s.width) for _ in range(s.depth))
        self.transformer.resblocks = nn.ModuleList(blocks)
        self.ln_final = nn.LayerNorm(s.width)
        self.text_projection = nn.Parameter(s.width**-0.5 * torch.randn(s.width, s.projected))

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, length, width) and (B, projected)."""
        x = self.token_embedding(ids) + self.positional_embedding
        future = torch.full((ids.shape[1],) * 2, float("-inf"), device=x.device, dtype=x.dtype).triu(1)
        *blocks, last = self.transformer.resblocks
        for block in blocks:
            x = block(x, mask=future)
        ends = self.ln_final(last(x, mask=future))[torch.arange(len(ids)), ids.argmax(dim=1)]
        return x, ends @ self.text_projection


class PromptEncoder(nn.Module):
    """Texts -> :class:`Prompts`, on the device of its towers.

    `tokenizer` is CLIP's, which pads to 77 (:func:`harness.backbones.texts.clip_tokenizer`).
    """

    def __init__(self, clip: nn.Module, open_text: OpenText, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.clip, self.open, self.tokenizer = clip, open_text, tokenizer
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Prompts:
        """See the class."""
        found = self.tokenizer.encode_batch(list(texts))
        device = self.open.positional_embedding.device
        ids = torch.tensor([one.ids for one in found], device=device)
        filled = torch.tensor([one.attention_mask for one in found], device=device)
        first = self.clip(input_ids=ids, output_hidden_states=True).hidden_states[-2]
        second, pooled = self.open(ids * filled)
        return Prompts(torch.cat([first, second], dim=-1), pooled)

    @classmethod
    def of(
        cls,
        clip: Mapping[str, torch.Tensor],
        open_text: Mapping[str, torch.Tensor],
        tokenizer: Tokenizer,
        settings: PromptSettings,
        *,
        what: str,
    ) -> PromptEncoder:
        """Build from both towers' weights under the names of their own files.

        `clip` and `open_text` may hold more than the text towers; `what` names the files in errors.
        """
        from transformers import CLIPTextConfig, CLIPTextModel

        ours = {k: v for k, v in clip.items() if k.startswith("text_model.")}
        ours.pop("text_model.embeddings.position_ids", None)  # 0, 1, 2 ...: no parameter
        try:
            first = loaded(CLIPTextModel, CLIPTextConfig(**settings.clip, **ENDS), ours)
        except RuntimeError as problem:
            reason = " ".join(str(problem).split())[:200]
            raise DataError(f"{what} holds no text tower of CLIP ViT-L/14 ({reason})") from None
        with torch.device("meta"):
            second = OpenText(settings.open)
        second = second.to_empty(device="cpu")
        tower = {k: v for k, v in open_text.items() if k != "logit_scale" and not k.startswith("visual.")}
        load_exactly(second, tower, what=f"the text tower of ViT-bigG in {what}")
        return cls(first, second, tokenizer)


def under(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """What is named `prefix`..., without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
