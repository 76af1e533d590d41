"""Stages embed and score, in the decoder's own embedding: how near is what it decoded to the truth?

A decoder that predicts an embedding from responses and can embed images says how well it retrieves
before any generator paints over the gaps.  The true stimuli are embedded once per fitted decoder, one
artifact per micro-batch; cosines are kept per row and shared by all metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Stimuli, VoxelSpace
from ..errors import DataError, PluginError
from ..executors import Executor
from ..identity import module_sha
from ..store import Artifact, Store, save_array
from .decode import Reconstructions
from .fit import Model
from .guard import guarded
from .score import ImageSet, MetricRef, Score, derangements_of, nanmean
from .worker import kept_open, store_at

logger = logging.getLogger(__name__)

INPUTS = "decoder-embedding"
"""``Metric.inputs`` of the metrics that this stage scores."""

BLOCK_NUMBERS = 1 << 23
"""Numbers of each side turned into float64 at a time (64 MiB)."""


@dataclass(frozen=True)
class EmbedTask:
    """One micro-batch of true images for one opened decoder."""

    root: str
    model: Model
    space: VoxelSpace
    key: str
    ingredients: dict[str, Any]
    images: np.ndarray


@dataclass(frozen=True)
class Embedding:
    """(N, D) numbers of `ids`, read lazily from one artifact per micro-batch; tokens are flattened."""

    ids: tuple[str, ...]
    batches: tuple[Artifact, ...]

    @classmethod
    def of(cls, made: Reconstructions) -> Embedding | None:
        """What the decoder predicted along with its images, if it did."""
        if not all(batch.has("embedding.npy") for batch in made.batches):
            return None
        return cls(made.ids, made.batches)

    @property
    def keys(self) -> list[str]:
        return [batch.key for batch in self.batches]

    @property
    def width(self) -> int:
        """D; -1 where micro-batches differ."""
        widths = {int(np.prod(batch.array("embedding").shape[1:])) for batch in self.batches}
        return widths.pop() if len(widths) == 1 else -1

    def columns(self, part: slice) -> np.ndarray:
        """(N, part) float64."""
        arrays = (batch.array("embedding") for batch in self.batches)
        return np.concatenate([array.reshape(len(array), -1)[:, part] for array in arrays]).astype(np.float64)


@dataclass
class DecoderSpace:
    """A fitted decoder's embedding: of the true stimuli, and of what it decoded.

    made : (row, trial, sample) -> reconstructions.  `model` is None where images were made elsewhere.
    """

    model: Model | None = None
    space: VoxelSpace | None = None
    made: Mapping[tuple[str, int, int], Reconstructions] = field(default_factory=dict)
    true: Embedding | None = None

    def decoded(self) -> dict[tuple[str, int, int], Embedding]:
        """Embeddings of the rows that have one."""
        found = {name: Embedding.of(made) for name, made in self.made.items()}
        return {name: embedding for name, embedding in found.items() if embedding is not None}

    def problem(self) -> str:
        """Why nothing, or not every row, can be compared with the truth; ``""`` when all can."""
        if self.model is None:
            return "images that were made elsewhere come without a decoder's embedding"
        name = self.model.ref.name
        if why := lacks_embed(self.model.ref):
            return why
        if not self.decoded():
            return f"decoder '{name}' decodes no embedding along with its images"
        if self.true is not None:
            for (row, *_), embedding in self.decoded().items():
                if not self._comparable(embedding):
                    return (
                        f"decoder '{name}' decodes {_numbers(embedding.width)} for the row '{row}' and its "
                        f"embed() gives {_numbers(self.true.width)}; expected equal ones"
                    )
        return ""

    def embed(
        self,
        stimuli: Stimuli,
        *,
        store: Store,
        executor: Executor,
        micro_batch: int,
        progress: Callable[[int], None] = lambda images: None,
    ) -> None:
        """Make sure that the decoder's embedding of `stimuli` is there."""
        parts = [
            stimuli.select(stimuli.ids[k : k + micro_batch]) for k in range(0, len(stimuli), micro_batch)
        ]
        ingredients = [
            {
                "model": self.model.key,
                "images": part.image_hashes(),
                "micro_batch": micro_batch,
                "device": self.model.device.partition(":")[0],
                "stage": module_sha(__name__),
            }
            for part in parts
        ]
        keys = [store.key("embed", one) for one in ingredients]

        def tasks() -> Iterator[EmbedTask]:
            for part, key, one in zip(parts, keys, ingredients, strict=True):
                if store.open("embed", key) is not None:
                    store.reused["embed"] += 1
                    progress(len(part))
                else:
                    images = np.asarray(part.images())
                    yield EmbedTask(str(store.root), self.model, self.space, key, one, images)

        for images in executor.map(embed_batch, tasks()):
            store.computed["embed"] += 1
            progress(images)
        artifacts = [store.open("embed", key) for key in keys]
        if any(artifact is None for artifact in artifacts):
            raise DataError("an embedding was altered while the run went on; run the same command again")
        self.true = Embedding(stimuli.ids, tuple(artifacts))

    def score(
        self,
        metric: MetricRef,
        sets: Sequence[ImageSet],
        *,
        store: Store,
        derangements: int,
        shuffled: Callable[[str], str | None],
    ) -> list[Score]:
        """Scores of one metric for all rows with a decoded embedding, and for their shuffled controls."""
        plugin, decoded = metric.load(), self.decoded()
        scores = []
        for images in sets:
            embedding = decoded.get((images.row, images.trial, images.sample))
            if embedding is None or not self._comparable(embedding):
                continue
            ids, similar = embedding.ids, cosines(embedding, self.true, model=self.model.key, store=store)
            scores.append(Score(metric, images, "stimulus", plugin.score(similar, ids=ids)))
            name = shuffled(images.row)
            if name is None or images.trial >= 0:
                continue
            control = ImageSet(name, -1, images.sample, images.images, images.stimuli, None)
            orders = derangements_of(ids, derangements)
            values = np.full(len(ids), np.nan)
            if len(orders):
                values = nanmean(np.stack([plugin.score(similar[order], ids=ids) for order in orders]))
            scores.append(Score(metric, control, "stimulus", values))
        return scores

    def _comparable(self, embedding: Embedding) -> bool:
        return embedding.width == self.true.width and embedding.width > 0


def lacks_embed(decoder: Any) -> str:
    """Why the decoder plugin `decoder` embeds no images, or ``""``."""
    if hasattr(decoder.load(), "embed"):
        return ""
    return f"decoder '{decoder.name}' has no embed(images), so there is no true embedding to compare with"


def embed_batch(task: EmbedTask) -> int:
    """Embed and keep one micro-batch; the number of its images."""
    store = store_at(task.root)
    if store.open("embed", task.key) is None:
        model, ref = task.model, task.model.ref
        name = ("decoder", model.key or task.key, model.folder, task.space.sha, "")
        decoder = kept_open(name, lambda: guarded(ref, "cannot be loaded", lambda: model.load(task.space)))
        found = guarded(ref, "fails while embedding images", lambda: decoder.embed(task.images))
        found = np.asarray(found)
        if found.dtype.kind not in "fiu" or found.ndim < 2 or len(found) != len(task.images):
            raise PluginError(
                f"decoder '{ref.name}' embedded {len(task.images)} images as {found.dtype} of shape "
                f"{found.shape}; expected (images, numbers) or (images, tokens, numbers)"
            )
        with store.writing("embed", task.key, task.ingredients) as folder:
            save_array(folder, "embedding", found.astype(np.float32))
    return len(task.images)


def cosines(decoded: Embedding, true: Embedding, *, model: str, store: Store) -> np.ndarray:
    """(N, N) float64 cosine of decoded embedding j and the true embedding of image i; cached.

    Both are in the order of ``decoded.ids``.  0 where one is zero, NaN where one is not finite.
    Block by block, so that a thousand embeddings of 256 x 1,664 tokens need not lie in memory.
    """
    position = {name: k for k, name in enumerate(true.ids)}
    at = np.array([position[name] for name in decoded.ids], np.int64)
    ingredients = {
        "what": "cosines",
        "model": model,
        "decoded": decoded.keys,
        "true": true.keys,
        "positions": at,
        "stage": module_sha(__name__),
    }

    def make(folder: Path) -> None:
        with np.errstate(invalid="ignore"):
            products = np.zeros((len(at), len(at)))
            squares = np.zeros((2, len(at)))
            step = max(1, BLOCK_NUMBERS // max(len(true.ids), 1))
            for start in range(0, true.width, step):
                part = slice(start, start + step)
                ours, theirs = decoded.columns(part), true.columns(part)[at]
                products += ours @ theirs.T
                squares += np.stack([(ours**2).sum(axis=1), (theirs**2).sum(axis=1)])
            norms = np.sqrt(squares[0])[:, None] * np.sqrt(squares[1])
            found = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
        found[~np.isfinite(squares[0])] = np.nan
        found[:, ~np.isfinite(squares[1])] = np.nan
        save_array(folder, "cosines", found)

    return np.array(store.get("score", ingredients, make).array("cosines"))


def _numbers(width: int) -> str:
    return "embeddings of unequal sizes" if width < 0 else f"an embedding of {width:,} numbers"
