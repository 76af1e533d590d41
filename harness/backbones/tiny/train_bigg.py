"""Train ``bigg@tiny`` on scenes of namespace ``tiny-bigg`` and their captions."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from harness.benchmarks.scenes import CATEGORIES

from .backbone import MEAN, SD
from .networks.bigg import GRID, BigG
from .train_clip import ContrastiveTask
from .train_data import DrawnScenes
from .train_loop import Settings, main, planes_of

SETTINGS = Settings("bigg", "tiny-bigg", seed=97, scenes=32_000, steps=1_600, batch=128)
WASHED = 0.5
"""Share of training images that are shown washed out, in [0.5, 1]: MindEye2's tokens describe such."""


class TokenTask(ContrastiveTask):
    """Image and caption find each other; besides, each patch token says what lies under it.

    Captions alone leave in a token what the sentence needs of it.  A token that names the category
    under its quarters carries the layout as well, as do the tokens of a model trained at scale.
    """

    def __init__(self) -> None:
        super().__init__(BigG())
        self.layout = nn.Linear(64, 4 * (len(CATEGORIES) + 1))

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Contrastive loss and cross-entropy of the layout."""
        x = planes_of(drawn, chosen)
        washed = ((x * SD + MEAN + 1) / 2 - MEAN) / SD
        x = torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < WASHED, washed, x)
        outputs = self.network(x.contiguous(memory_format=torch.channels_last))
        cells = self.layout(outputs["tokens"]).float().view(-1, len(CATEGORIES) + 1)
        truth = torch.from_numpy(drawn.layout[chosen])  # (n, 8, 8)
        quarters = truth.view(-1, GRID, 2, GRID, 2).transpose(2, 3).reshape(-1)
        return self.contrast(outputs["image"], drawn, chosen) + functional.cross_entropy(cells, quarters)


def build() -> TokenTask:
    """Both towers with what only their training needs."""
    return TokenTask()


if __name__ == "__main__":
    main(SETTINGS, build)
