"""``clip@tiny``: an image tower and a text tower in one space (Radford et al. 2021).

The image tower is a residual network with attention pooling, like the paper's own "RN" models; the text
tower is a small transformer over the words of scene captions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..blocks import Block, ConvNorm, Residual, tokens

SHARED = 64
IMAGE_WIDTH, TEXT_WIDTH, HEADS = 128, 64, 4
LENGTH = 48

# fmt: off
WORDS = (
    "a", "and", "at", "bottom", "boat", "blue", "car", "centre", "cup", "cyan",
    "face", "fish", "flower", "grass", "green", "house", "in", "large", "left", "lower",
    "medium", "night", "on", "orange", "person", "pink", "purple", "red", "right", "sand",
    "scene", "sea", "sky", "small", "the", "top", "tree", "upper", "white", "word",
    "yellow",
)
# fmt: on
"""Words of scene captions; any other is one unknown word."""

_NUMBER = {word: number for number, word in enumerate(WORDS, 2)}  # 0 pads, 1 is unknown


def word_numbers(captions: Sequence[str]) -> np.ndarray:
    """(n, 48) int64 word numbers; longer captions are cut, shorter ones padded with 0."""
    out = np.zeros((len(captions), LENGTH), np.int64)
    for row, caption in zip(out, captions):
        numbers = [_NUMBER.get(word, 1) for word in caption.lower().replace(",", " ").split()][:LENGTH]
        row[: len(numbers)] = numbers
    return out


class AttentionPool(nn.Module):
    """One learned query per head over all positions of a map."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(1, 16, width))
        self.query = nn.Parameter(0.02 * torch.randn(HEADS, width))
        self.out = nn.Linear(HEADS * width, out)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(n, width, 4, 4) -> (n, out)."""
        x = tokens(maps) + self.position
        shares = (self.query @ x.transpose(1, 2)).softmax(-1).to(x.dtype)  # (n, heads, 16)
        return self.out((shares @ x).flatten(1))


class TextTower(nn.Module):
    """Word numbers (n, L) -> (n, 64), the mean over words of a two-block transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS) + 2, TEXT_WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(1, LENGTH, TEXT_WIDTH))
        self.blocks = nn.ModuleList(Block(TEXT_WIDTH, HEADS, expand=2) for _ in range(2))
        self.norm = nn.LayerNorm(TEXT_WIDTH)
        self.out = nn.Linear(TEXT_WIDTH, SHARED)

    def states(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, L, 64) after the last norm, and (n, L) bool of the words."""
        here = numbers > 0
        here[:, 0] = True  # an empty caption attends to padding rather than to nothing
        x = self.words(numbers) + self.position[:, : numbers.shape[1]]
        for block in self.blocks:
            x = block(x, here[:, None, None])
        return self.norm(x), here

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Not yet of unit norm."""
        x, here = self.states(numbers)
        weights = here.to(x.dtype) / here.sum(1, keepdim=True)
        return self.out((x * weights[..., None]).sum(1))


class SmallCLIP(nn.Module):
    """x (n, 3, 64, 64) -> ``stage2`` (n, 64, 16, 16), ``stage3`` (n, 96, 8, 8), ``image`` (n, 64) of
    unit norm; :meth:`text` puts captions into the same space."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, stride=2)
        self.stage2 = Residual(32, 64, stride=2)
        self.stage3 = Residual(64, 96, stride=2)
        self.stage4 = Residual(96, IMAGE_WIDTH, stride=2)
        self.pool = AttentionPool(IMAGE_WIDTH, SHARED)
        self.captions = TextTower()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        second = self.stage2(self.stem(x))
        third = self.stage3(second)
        image = functional.normalize(self.pool(self.stage4(third)).float(), dim=-1)
        return {"stage2": second, "stage3": third, "image": image}

    def text(self, numbers: torch.Tensor) -> torch.Tensor:
        """(n, 64) of unit norm."""
        return functional.normalize(self.captions(numbers).float(), dim=-1)
