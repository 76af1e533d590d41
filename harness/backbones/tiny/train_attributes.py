"""Learning what is in a scene: heads for its attributes, and scores of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from harness.benchmarks.scenes import BACKGROUNDS, CATEGORIES, COLORS, SIZES

from .train_data import DrawnScenes
from .train_loop import Task, planes_of

CLASSES = {
    "category": len(CATEGORIES),
    "background": len(BACKGROUNDS),
    "color": len(COLORS),
    "size": len(SIZES),
}
BATCH = 200


class AttributeTask(Task):
    """A network whose global layer predicts all attributes of a scene and, with `local`, whose patch
    layer (n, 64, width) predicts the category over each patch.

    degrade : share of training images that are blurred and made noisy, for networks that will judge
        reconstructions.
    """

    def __init__(
        self,
        network: nn.Module,
        width: int,
        *,
        layer: str,
        local: str | None = None,
        degrade: float = 0.0,
    ) -> None:
        super().__init__()
        self.network, self.layer, self.local, self.degrade = network, layer, local, degrade
        self.classes = nn.ModuleDict({name: nn.Linear(width, n) for name, n in CLASSES.items()})
        self.presence = nn.Linear(width, len(CATEGORIES))
        self.pairs = nn.Linear(width, len(CATEGORIES) * len(COLORS))
        self.place = nn.Linear(width, 2)
        self.layout = nn.Linear(width, len(CATEGORIES) + 1) if local else None

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Sum of the losses of all attributes."""
        x = degraded(planes_of(drawn, chosen), self.degrade, generator)
        outputs = self.network(x.contiguous(memory_format=torch.channels_last))
        whole = outputs[self.layer]
        total = 0.5 * functional.mse_loss(self.place(whole).float(), _target(drawn.place, chosen))
        for name, head in self.classes.items():
            total = total + 0.5 * functional.cross_entropy(
                head(whole).float(), _target(getattr(drawn, name), chosen)
            )
        total = total + 4 * _binary(self.presence(whole), _target(drawn.presence, chosen))
        total = total + 10 * _binary(self.pairs(whole), _target(drawn.pairs, chosen))
        if self.layout is not None:
            cells = self.layout(outputs[self.local]).float().flatten(0, 1)
            total = total + functional.cross_entropy(cells, _target(drawn.layout, chosen).flatten())
        return total

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """Area under the curve of presence, accuracies, R2 of the place."""
        heads = {**self.classes, "presence": self.presence, "place": self.place}
        if self.layout is not None:
            heads["layout"] = self.layout
        logits = {name: [] for name in heads}
        for start in range(0, len(held_out), BATCH):
            outputs = self.network(planes_of(held_out, np.arange(start, min(start + BATCH, len(held_out)))))
            for name, head in heads.items():
                logits[name].append(head(outputs[self.local if name == "layout" else self.layer]).numpy())
        logits = {name: np.concatenate(parts) for name, parts in logits.items()}
        alone = np.array([len(scene.objects) == 1 for scene in held_out.scenes])
        right = {name: logits[name].argmax(1) == getattr(held_out, name) for name in CLASSES}
        spread = ((held_out.place - held_out.place.mean(0)) ** 2).mean()
        scores = {f"{name}_accuracy": values.mean() for name, values in right.items()}
        scores["category_accuracy_one_object"] = right["category"][alone].mean()
        scores["presence_auc"] = area_under_curve(logits["presence"], held_out.presence)
        scores["place_r2"] = 1 - ((logits["place"] - held_out.place) ** 2).mean() / spread
        if "layout" in logits:
            scores["layout_accuracy"] = (logits["layout"].argmax(2) == held_out.layout.reshape(-1, 64)).mean()
        return scores


def degraded(x: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Blur a `share` of the images (n, 3, 64, 64) to 8 to 48 pixels a side and add noise to them."""
    if not share:
        return x
    size = 8 * int(torch.randint(1, 7, (), generator=generator))
    small = functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    blurred = functional.interpolate(small, x.shape[-2:], mode="bilinear")
    strength = 0.4 * torch.rand(len(x), 1, 1, 1, generator=generator)
    noisy = blurred + strength * torch.randn(x.shape, generator=generator)
    return torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < share, noisy, x)


def area_under_curve(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean over columns of the area under the ROC curve: share of (yes, no) pairs in right order."""
    from scipy.stats import rankdata

    areas = []
    for column, yes in zip(scores.T, truth.T > 0):
        n = yes.sum()
        ranks = rankdata(column)[yes].sum() - n * (n + 1) / 2
        areas.append(ranks / (n * (~yes).sum()))
    return float(np.mean(areas))


def _target(values: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values[chosen])


def _binary(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits.float(), truth)


def linear_probe(features: np.ndarray, held_out: DrawnScenes, *, penalty: float = 10.0) -> dict[str, float]:
    """What a ridge regression on one half of the held-out scenes reads from features of the other."""
    half = len(features) // 2
    standard = (features - features[:half].mean(0)) / (features[:half].std(0) + 1e-6)
    training, fresh = (
        np.concatenate([part, np.ones((len(part), 1))], 1) for part in np.split(standard, [half])
    )
    truth = np.concatenate([np.eye(len(CATEGORIES))[held_out.category], held_out.presence], axis=1)
    gram = training.T @ training + penalty * np.eye(training.shape[1])
    answers = fresh @ np.linalg.solve(gram, training.T @ truth[:half])
    category, presence = np.split(answers, 2, axis=1)
    return {
        "probe_category_accuracy": float((category.argmax(1) == held_out.category[half:]).mean()),
        "probe_presence_auc": area_under_curve(presence, held_out.presence[half:]),
    }
