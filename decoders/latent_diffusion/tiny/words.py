"""Captions as the small generator reads them.

The generator reads image tokens only.  Where a paper's generator reads words (Stable Diffusion, the text half
of Versatile Diffusion), the text states of ``bigg@tiny`` stand for CLIP's, and :class:`CaptionTokens` turns
them into image tokens, as the prior of unCLIP does (Ramesh et al. 2022), by regression.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from harness.backbones.tiny.blocks import Block
from harness.backbones.tiny.networks.bigg import HEADS, BigG
from harness.backbones.tiny.networks.clip import LENGTH, TEXT_WIDTH, word_numbers

TOKENS, DIM, DEPTH = 16, 64, 3


def text_states(network: BigG, captions: Sequence[str]) -> torch.Tensor:
    """(n, 48, 64) states of the words and of what pads them."""
    return network.captions.states(torch.from_numpy(word_numbers(captions)))[0]


class CaptionTokens(nn.Module):
    """Text states (n, 48, 64) -> image tokens (n, 16, 64): what an image with this caption has on average."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(1, TOKENS, DIM))
        self.position = nn.Parameter(0.02 * torch.randn(1, LENGTH, TEXT_WIDTH))
        self.blocks = nn.ModuleList(Block(DIM, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(DIM)
        self.out = nn.Linear(DIM, DIM)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = torch.cat([self.query.expand(len(states), -1, -1), states + self.position], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x[:, :TOKENS]))
