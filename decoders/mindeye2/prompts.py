"""What SDXL makes of a prompt: the states of two text towers side by side, and a pooled vector.

SDXL (Podell et al. 2023, arXiv:2307.01952) reads the states before the last block of CLIP ViT-L's text
tower and of OpenCLIP's ViT-bigG, 768 and 1280 numbers per word, none normalised; the vector is bigG's
projected feature at the end of the text.  Both towers see 77 numbers of words without a mask; the rest
behind the end is filled with the end again for the first, with 0 for the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from harness.backbones.openclip import (
    BIGG_TEXT,
    VIT_L_TEXT,
    TextSizes,
    text_state,
    text_tower,
    with_weights,
    word_states,
)

from ..files import check_exactly

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CLIP_PREFIX = "conditioner.embedders.0.transformer."
OPEN_PREFIX = "conditioner.embedders.1.model."
"""Where the two towers stand in a single-file checkpoint of SDXL."""


@dataclass(frozen=True)
class PromptSizes:
    """Sizes of both towers, the first without its projection."""

    clip: TextSizes = VIT_L_TEXT
    open: TextSizes = BIGG_TEXT


class Prompts(NamedTuple):
    """N embedded prompts."""

    states: torch.Tensor  # (N, 77, 768 + 1280), what the UNet's cross-attention reads
    pooled: torch.Tensor  # (N, 1280), part of its vector


class PromptEncoder(nn.Module):
    """Texts -> :class:`Prompts`, on the device of its towers.

    `clip` and `open_text` are open_clip's text towers (:func:`harness.backbones.openclip.text_tower`).
    `tokenizer` is CLIP's, which pads to 77 (:func:`harness.backbones.texts.clip_tokenizer`).
    """

    def __init__(self, clip: nn.Module, open_text: nn.Module, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.clip, self.open, self.tokenizer = clip, open_text, tokenizer
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Prompts:
        """See the class."""
        encodings = self.tokenizer.encode_batch(list(texts))
        device = self.open.positional_embedding.device
        ids = torch.tensor([encoding.ids for encoding in encodings], device=device)
        filled = torch.tensor([encoding.attention_mask for encoding in encodings], device=device)
        first, _ = word_states(self.clip, ids)
        second, pooled = word_states(self.open, ids * filled)
        return Prompts(torch.cat([first, second], dim=-1), pooled)

    @classmethod
    def of(
        cls,
        clip: Mapping[str, torch.Tensor],
        open_text: Mapping[str, torch.Tensor],
        tokenizer: Tokenizer,
        sizes: PromptSizes,
        *,
        what: str,
    ) -> PromptEncoder:
        """Build from both towers' weights under the names of their own files.

        `clip` and `open_text` may hold more than the text towers; `what` names the files in errors.
        """
        first = text_tower(replace(sizes.clip, projected=None))
        own = text_state(clip, projected=False)
        check_exactly(first, own, what=f"the text tower of CLIP ViT-L/14 in {what}")
        second = text_tower(sizes.open)
        tower = {k: v for k, v in open_text.items() if k != "logit_scale" and not k.startswith("visual.")}
        check_exactly(second, tower, what=f"the text tower of ViT-bigG in {what}")
        return cls(with_weights(first, own), with_weights(second, tower), tokenizer)


def under(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """What is named `prefix`..., without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
