"""Train the small generator's reader of captions on scenes of namespace ``tiny-words``.

``python -m harness.decoders.latent_diffusion.tiny.train_words``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from harness.backbones.tiny.train_data import DrawnScenes
from harness.backbones.tiny.train_loop import Settings, Task, main
from harness.decoders.mindeye2.tiny.networks import BigGTokens
from harness.decoders.mindeye2.tiny.train_vae import pictures

from .words import CaptionTokens, text_states

FOLDER = Path(__file__).resolve().parent
SETTINGS = Settings(
    "words", "tiny-words", seed=113, scenes=24_000, steps=2_500, batch=96, rate=2e-3, decay=0.02,
    warmup=100, held_out=500, bfloat16=False, channels_last=False,
)  # fmt: skip
SHRUNK = 0.5
"""Share of captions whose states are shrunk towards their mean, down to 0.2 of it, and blurred by noise of
0.2 SD: states that a regression predicts are such."""


class WordsTask(Task):
    """Squared error of the image tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.network = CaptionTokens()
        self._states = self._tokens = self._mean = torch.empty(0)

    def prepare(self, drawn: DrawnScenes, *, cache: Path) -> None:
        """States and tokens of all scenes."""
        self._states, self._tokens = targets(drawn)
        self._mean, self._sd = self._states.mean(0), self._states.std(0)

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """See the class."""
        states, n = self._states[chosen], len(chosen)
        kept = 0.2 + 0.8 * torch.rand(n, 1, 1, generator=generator)
        noise = 0.2 * self._sd * torch.randn(states.shape, generator=generator)
        shrunk = self._mean + kept * (states - self._mean) + noise
        states = torch.where(torch.rand(n, 1, 1, generator=generator) < SHRUNK, shrunk, states)
        return functional.mse_loss(self.network(states), self._tokens[chosen])

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """Share of the tokens' variance that the captions explain."""
        states, tokens = targets(held_out)
        left = (self.network(states) - tokens).square().mean()
        return {"explained": 1 - left / (tokens - tokens.mean(0)).square().mean()}


@torch.no_grad()
def targets(drawn: DrawnScenes) -> tuple[torch.Tensor, torch.Tensor]:
    """Text states (n, 48, 64) and washed-out image tokens (n, 16, 64)."""
    embedder, states, tokens = BigGTokens(), [], []
    for start in range(0, len(drawn), 200):
        chosen = np.arange(start, min(start + 200, len(drawn)))
        states.append(text_states(embedder.network, [drawn.captions[k] for k in chosen]))
        tokens.append(embedder(pictures(drawn, chosen)))
    return torch.cat(states), torch.cat(tokens)


def build() -> WordsTask:
    """The network to train."""
    return WordsTask()


if __name__ == "__main__":
    main(SETTINGS, build, folder=FOLDER)
