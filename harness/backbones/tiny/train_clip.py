"""Train ``clip@tiny`` on scenes of namespace ``tiny-clip`` and their captions."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .networks.clip import SmallCLIP, word_numbers
from .train_attributes import BATCH, degraded, linear_probe
from .train_data import DrawnScenes
from .train_loop import Settings, Task, main, planes_of

SETTINGS = Settings("clip", "tiny-clip", seed=53, scenes=24_000, steps=700)
POOL = 300


class ContrastiveTask(Task):
    """Each image finds its caption in the batch and each caption its image, at a learned temperature."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Mean of both cross-entropies."""
        x = degraded(planes_of(drawn, chosen), 0.3, generator)
        image = self.network(x.contiguous(memory_format=torch.channels_last))["image"]
        return self.contrast(image, drawn, chosen)

    def contrast(self, image: torch.Tensor, drawn: DrawnScenes, chosen: np.ndarray) -> torch.Tensor:
        """Mean of both cross-entropies of embeddings `image` (n, 64) and the captions of `chosen`."""
        captions = [drawn.captions[k] for k in chosen]
        text = self.network.text(torch.from_numpy(word_numbers(captions)))
        similar = self.log_scale.clamp(max=4.6).exp() * (image.float() @ text.float().T)
        own = torch.arange(len(chosen))
        return (functional.cross_entropy(similar, own) + functional.cross_entropy(similar.T, own)) / 2

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """Retrieval among 300 in both directions, and a linear probe of the image layer."""
        images = np.concatenate(
            [
                self.network(planes_of(held_out, np.arange(k, min(k + BATCH, len(held_out)))))["image"]
                for k in range(0, len(held_out), BATCH)
            ]
        )
        text = self.network.text(torch.from_numpy(word_numbers(held_out.captions))).numpy()
        pools = [slice(k, k + POOL) for k in range(0, len(held_out) - POOL + 1, POOL)]
        hits: dict[str, list[float]] = {"image_to_text_top1_of_300": [], "text_to_image_top1_of_300": []}
        for pool in pools:
            similar = images[pool] @ text[pool].T
            own = np.arange(POOL)
            hits["image_to_text_top1_of_300"].append((similar.argmax(1) == own).mean())
            hits["text_to_image_top1_of_300"].append((similar.argmax(0) == own).mean())
        return {name: float(np.mean(v)) for name, v in hits.items()} | linear_probe(images, held_out)


def build() -> ContrastiveTask:
    """Both towers with the temperature."""
    return ContrastiveTask(SmallCLIP())


if __name__ == "__main__":
    main(SETTINGS, build)
