"""The true hierarchy: layers of a frozen image network, as the fMRI encoder shall predict them.

Level m of M is layer g_m of the network's L layers, after the network's last norm and, in CLIP, the
projection into the space of the text.  MindHier's maps for CLIP ViT-L/14's 24 layers and M = 4 are
``middle`` {12, 16, 20, 24}, which it publishes, ``late`` {18, 20, 22, 24} and ``early`` {6, 12, 18, 24}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from harness.backbones.images import resized
from harness.backbones.preprocessing import CLIP as STATISTICS


class ClipLevels(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> levels of transformers' ``CLIPModel``.

    Every level is a layer's tokens (B, 257, 768 for ViT-L/14) after ``post_layernorm`` and
    ``visual_projection``, as in the released code.
    """

    def __init__(self, clip: nn.Module, chosen: Sequence[int]) -> None:
        super().__init__()
        self.clip, self.chosen = clip.eval().requires_grad_(False), tuple(chosen)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """M x (B, tokens, width), the first level first."""
        vision = self.clip.vision_model
        x = resized(images.float(), self.clip.config.vision_config.image_size)
        states = vision(pixel_values=STATISTICS.normalised(x), output_hidden_states=True).hidden_states
        return [self.clip.visual_projection(vision.post_layernorm(states[g])) for g in self.chosen]


class ClipWords(nn.Module):
    """Captions -> (B, 77, 768 for ViT-L/14), the text tower's tokens after its last norm."""

    def __init__(self, clip: nn.Module, tokenizer: Any) -> None:
        super().__init__()
        self.clip, self.tokenizer = clip, tokenizer

    def forward(self, captions: Sequence[str]) -> torch.Tensor:
        """See the class."""
        length = self.clip.config.text_config.max_position_embeddings
        encoded = self.tokenizer.encode_batch(list(captions))
        end = self.clip.config.text_config.eos_token_id
        rows = [list(encoding.ids)[:length] for encoding in encoded]
        ids = torch.tensor([row + [row[-1] if row else end] * (length - len(row)) for row in rows])
        where = self.clip.text_projection.weight.device
        return self.clip.text_model(input_ids=ids.to(where)).last_hidden_state
