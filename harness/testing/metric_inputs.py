"""What a metric is tried on: for each kind of input, results and targets as its scorer gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..catalogue import Metric

IMAGES, FEATURES, VOXELS, SIDE = 40, 48, 30, 32
"""Images, numbers of an embedding, voxels, and pixels of a side of what metrics are tried on."""
PICTURES = 5
"""Images where all pixels are compared, which takes a hundred times as long."""
NOISE = 0.05
"""How far what a reference says of a target is from the target."""


@dataclass(frozen=True)
class Sample:
    """One call of a score.

    things : what it compares, first the result.  keywords : what it gets besides.
    by_image : which of `things` and `keywords` have a row for each image; square : both axes of the first.
    """

    things: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    by_image: tuple[int | str, ...] = (0, 1)
    square: bool = False

    def __len__(self) -> int:
        return len(self.things[0])

    def ordered(self, order: np.ndarray) -> Sample:
        """The same images in another order."""
        things = tuple(_taken(x, order) if k in self.by_image else x for k, x in enumerate(self.things))
        if self.square:
            things = (things[0][:, order], *things[1:])
        keywords = {n: _taken(x, order) if n in self.by_image else x for n, x in self.keywords.items()}
        if "image_index" in keywords:
            keywords["image_index"] = np.argsort(order)[keywords["image_index"]]
        return Sample(things, keywords, self.by_image, self.square)

    def cast(self, dtype: type[np.floating]) -> Sample:
        """The same numbers as `dtype`."""

        def to(value: Any) -> Any:
            floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
            return value.astype(dtype) if floating else value

        keywords = {name: to(value) for name, value in self.keywords.items()}
        return Sample(tuple(map(to, self.things)), keywords, self.by_image, self.square)

    def arrays(self) -> list[Any]:
        """All that could be written into."""
        return [*self.things, *self.keywords.values()]


def _taken(value: Any, order: np.ndarray) -> Any:
    if isinstance(value, np.ndarray):
        return value[order]
    if isinstance(value, Mapping):
        return {name: _taken(inner, order) for name, inner in value.items()}
    return None if value is None else [value[k] for k in order]


Draw = Callable[[Metric, int, int, bool], Sample]
"""(metric, images, seed, same) -> a sample; `same` : the result is the target itself."""


def features(metric: Metric, n: int, seed: int, same: bool) -> Sample:
    """Embeddings (n, D), and what belongs to them."""
    rng = np.random.default_rng(seed)
    target, other = rng.standard_normal((2, n, FEATURES)).astype(np.float32)
    near = target + NOISE * rng.standard_normal(target.shape).astype(np.float32)
    offered = {
        "stimulus": rng.standard_normal((n, FEATURES)).astype(np.float32),
        "rendered": rng.standard_normal((n, FEATURES)).astype(np.float32),
        "kind": np.arange(n) % max(2, n // 8),
        "captions": near,
        "rivalry": False,
        "device": None,
    }
    keywords = {name: offered[name] for name in metric.gets if name in offered}
    by_image = (0, 1, "stimulus", "rendered", "kind", "captions")
    return Sample((target.copy() if same else other, target), keywords, by_image)


def training(metric: Metric, n: int, seed: int, same: bool) -> Sample:
    """Embeddings of results (n, D) and of training images (2 n, D)."""
    rng = np.random.default_rng(seed)
    training_set = rng.standard_normal((2 * n, FEATURES)).astype(np.float32)
    result = rng.standard_normal((n, FEATURES)).astype(np.float32)
    return Sample((training_set[:n].copy() if same else result, training_set), by_image=(0,))


def pictures(metric: Metric, n: int, seed: int, same: bool) -> Sample:
    """Images (n, H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (2, n, SIDE // 4, SIDE // 4, 3))
    target, other = np.repeat(np.repeat(coarse, 4, axis=2), 4, axis=3).astype(np.uint8)
    return Sample((target.copy() if same else other, target))


def cosines(metric: Metric, n: int, seed: int, same: bool) -> Sample:
    """(n, n) cosines of what was decoded with the true embeddings."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-0.5, 0.5, (n, n))
    if same:
        values[np.diag_indices(n)] = 1.0
    keywords = {"ids": tuple(f"image-{k:03d}" for k in range(n))} if "ids" in metric.gets else {}
    return Sample((values,), keywords, (0, "ids"), square=True)


def sentences(metric: Metric, n: int, seed: int, same: bool) -> Sample:
    """Captions, or their features where the metric looks through a backbone."""
    if metric.backbone:
        return Sample(features(metric, n, seed, same).things)
    rng = np.random.default_rng(seed)
    words = ["a", "red", "dog", "runs", "over", "green", "grass", "two", "cups", "on", "table", "blue"]
    captions = [[" ".join(rng.choice(words, 6)) for _ in range(n)] for _ in range(2)]
    references = [(text,) for text in captions[1]] if metric.references else captions[1]
    return Sample((list(captions[1]) if same else captions[0], references))


def patterns(metric: Metric, n: int, seed: int, same: bool) -> Sample:
    """Predicted and measured responses (n, V); a prediction that knows nothing stays near the baseline."""
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(n), 2)
    signal = rng.standard_normal((n, VOXELS)) + rng.standard_normal(VOXELS)
    trials = (signal[index] + 0.5 * rng.standard_normal((len(index), VOXELS))).astype(np.float32)
    measured = trials.reshape(n, 2, VOXELS).mean(axis=1)
    baseline = measured.mean(axis=0)
    nothing = (baseline + 0.02 * rng.standard_normal(measured.shape)).astype(np.float32)
    blurred = nothing[:, None] + 0.1 * rng.standard_normal((n, 2, VOXELS)).astype(np.float32)
    offered = {
        "baseline": baseline,
        "ceiling": np.linspace(0.5, 0.95, VOXELS).astype(np.float32),
        "truth": measured,
        "trials": trials,
        "image_index": index,
        "samples": trials.reshape(n, 2, VOXELS) if same else blurred,
        "labels": {name: np.array(["a", "b", "c"])[np.arange(n) % 3] for name in metric.labels},
        "rivalry": False,
    }
    keywords = {name: offered[name] for name in metric.gets if name in offered}
    return Sample(
        (measured.copy() if same else nothing, measured), keywords, (0, 1, "truth", "samples", "labels")
    )


DRAWS: dict[str, Draw] = {
    "images": pictures,
    "embedding": features,
    "training": training,
    "decoder-embedding": cosines,
    "captions": sentences,
    "reencoded": patterns,
    "responses": patterns,
}
"""Kind of input -> what its metrics are tried on; of another scorer's, whoever checks gives it."""
