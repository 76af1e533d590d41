"""Scores in the decoder's own embedding: how near is what it decoded to the truth?

A decoder that predicts an embedding from responses and can embed images says how well it retrieves before
any generator paints over the gaps.  ``score(cosines (N, N)) -> (N,)`` with ``cosines[j, i]`` between what was
decoded for image j and the decoder's own embedding of the true image i.  Offered besides: ``ids`` of the
images; ``copies`` (N,), equal numbers where stimuli are equal, or None where no two are.  The true stimuli
are embedded once per fitted decoder; cosines are kept per row and shared by all metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..catalogue import Metric
from ..data import VoxelSpace
from ..errors import HarnessError, PluginError
from ..plugins import PluginRef
from ..rows.row_images import RowImages
from ..stages.decode import Reconstructions
from ..stages.fit import Model
from ..stages.guard import guarded
from ..storage.cached import Item, cached, cached_map
from ..storage.references import Filed, Reference, pictures
from ..storage.store import Artifact, save_array
from ..storage.worker import kept_open
from .compare import HEADLINE, Comparison, Offer, compared, controls, derangements_of
from .context import ENDS_A_RUN, Circumstances, Scorer, Scoring
from .scores import MetricRef, Score, Scored

BLOCK_NUMBERS = 1 << 23
"""Numbers of each side turned into float64 at a time (64 MiB)."""


@dataclass(frozen=True)
class Embedding:
    """(N, D) numbers of `ids`, read lazily from one artifact per micro-batch; tokens are flattened."""

    ids: tuple[str, ...]
    batches: tuple[Artifact, ...]

    @classmethod
    def of(cls, made: Reconstructions) -> Embedding | None:
        """What the decoder predicted along with its images, if it did."""
        complete = all(batch.has("embedding.npy") for batch in made.batches)
        return cls(made.ids, made.batches) if complete else None

    @property
    def keys(self) -> list[str]:
        return [batch.key for batch in self.batches]

    @property
    def width(self) -> int:
        """D; -1 where micro-batches differ."""
        widths = {int(np.prod(batch.array("embedding").shape[1:])) for batch in self.batches}
        return widths.pop() if len(widths) == 1 else -1

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(str(batch.folder / "embedding.npy") for batch in self.batches)


class DecoderSpaceScorer(Scorer):
    """What was decoded, against the decoder's embedding of the true images."""

    inputs = "decoder-embedding"

    def __init__(self, run: Scoring) -> None:
        super().__init__(run)
        self.true: Embedding | None = None
        embeddings = {place: Embedding.of(made) for place, made in run.decoded.items()}
        self.decoded = {place: embedding for place, embedding in embeddings.items() if embedding is not None}

    @staticmethod
    def expected(metric: Metric, plan: Circumstances) -> str | None:
        if not isinstance(plan.decoder, PluginRef):
            return None
        return lacks_embed(plan.decoder)

    def problem(self, metric: Metric) -> str:
        if self.run.decoder is None:
            return "images that were made elsewhere come without a decoder's embedding"
        ref = self.run.decoder.ref
        if why := lacks_embed(ref):
            return why
        return "" if self.decoded else f"decoder '{ref.name}' decodes no embedding along with its images"

    def prepare(self, metrics: Sequence[MetricRef]) -> dict[str, str]:
        """Embed the stimuli as the decoder does; every row must have embeddings of that many numbers."""
        try:
            self.true = self._embed()
        except ENDS_A_RUN:
            raise
        except HarnessError as problem:
            return {metric.ref.name: problem for metric in metrics}
        for (row, *_), embedding in self.decoded.items():
            if not embedding.width == self.true.width > 0:
                why = (
                    f"decoder '{self.run.decoder.ref.name}' decodes {_numbers(embedding.width)} for the row "
                    f"'{row}' and its embed() gives {_numbers(self.true.width)}; expected equal ones"
                )
                return {metric.ref.name: why for metric in metrics}
        return {}

    def _embed(self) -> Embedding:
        run, model = self.run, self.run.decoder
        stimuli, size = run.data.test.stimuli, run.micro_batch
        parts = [stimuli.select(stimuli.ids[k : k + size]) for k in range(0, len(stimuli), size)]
        items = [
            Item(
                {"images": part.image_hashes()},
                lambda p=part: (model, run.data.space, pictures(p)),
                count=len(part),
            )
            for part in parts
        ]
        known = {"model": model.key, "micro_batch": size, "device": model.device.partition(":")[0]}
        with run.stage("embed", len(stimuli)) as advance:
            common = {"store": run.store, "executor": run.executor, "progress": advance}
            artifacts = cached_map("embed", items, embed_batch, depends_on=known, **common)
        return Embedding(stimuli.ids, tuple(artifacts))

    def score(self, metric: MetricRef) -> Scored:
        run, row = self.run, metric.load()
        rows = [s for s in run.once if (s.row, s.trial, s.sample) in self.decoded]
        shuffled = {id(images): control for images, control in controls(rows, run.shuffled)}
        what: list[RowImages] = []
        comparisons: list[Comparison] = []
        scores = []
        for images in rows:
            embedding = self.decoded[images.row, images.trial, images.sample]
            cosines, copies = self._cosines(embedding), images.stimuli.select(embedding.ids).copies()
            keywords = {name: self._offer(name, row, embedding.ids, copies) for name in row.gets}
            what.append(images)
            comparisons.append(Comparison((cosines,), keywords))
            if id(images) in shuffled:
                orders = derangements_of(embedding.ids, run.derangements, copies=copies)
                if len(orders):
                    what.append(shuffled[id(images)])
                    comparisons.append(Comparison((cosines,), keywords, orders))
                else:
                    nothing = np.full(len(embedding.ids), np.nan)
                    scores.append(Score(metric, shuffled[id(images)], "stimulus", nothing))
        values = compared(metric, comparisons, store=run.store, executor=run.executor)
        scores += [Score(metric, images, "stimulus", one[HEADLINE]) for images, one in zip(what, values)]
        return Scored(images=scores)

    @staticmethod
    def _offer(name: str, row: Metric, ids: tuple[str, ...], copies: np.ndarray | None) -> Offer:
        """The keyword `name`."""
        if name == "ids":
            return Offer.of(ids)
        if name == "copies":
            return Offer.of(copies)
        raise PluginError(
            f"metric '{row.name}' wants '{name}', which is not offered for inputs '{row.inputs}'; offered "
            "are ids, copies"
        )

    def _cosines(self, embedding: Embedding) -> Offer:
        """(N, N) float64 cosine of decoded embedding j and the true one of image i."""
        position = {name: k for k, name in enumerate(self.true.ids)}
        at = np.array([position[name] for name in embedding.ids], np.int64)
        known = {"decoded": embedding.keys, "true": self.true.keys, "positions": at}
        artifact = cached(
            "score",
            write_cosines,
            embedding.files,
            self.true.files,
            at,
            depends_on={"model": self.run.decoder.key, **known},
            store=self.run.store,
            executor=self.run.executor,
        )
        return Offer(Filed(str(artifact.folder / "cosines.npy")), artifact.key)


def lacks_embed(decoder: PluginRef) -> str:
    """Why the decoder plugin `decoder` embeds no images, or ``""``."""
    if hasattr(decoder.load(), "embed"):
        return ""
    return f"decoder '{decoder.name}' has no embed(images), so there is no true embedding to compare with"


def embed_batch(folder: Path, model: Model, space: VoxelSpace, images: Reference) -> None:
    """Embed one micro-batch of true images with an opened decoder: (n, ...) float32."""
    ref, given = model.ref, images.load()
    name = ("decoder", model.key or str(folder), model.folder, space.sha, "")
    decoder = kept_open(name, lambda: guarded(ref, "cannot be loaded", lambda: model.load(space)))
    embedding = np.asarray(guarded(ref, "fails while embedding images", lambda: decoder.embed(given)))
    if embedding.dtype.kind not in "fiu" or embedding.ndim < 2 or len(embedding) != len(given):
        raise PluginError(
            f"decoder '{ref.name}' embedded {len(given)} images as {embedding.dtype} of shape "
            f"{embedding.shape}; expected (images, numbers) or (images, tokens, numbers)"
        )
    save_array(folder, "embedding", embedding.astype(np.float32))


def write_cosines(folder: Path, decoded: Sequence[str], true: Sequence[str], at: np.ndarray) -> None:
    """Write ``cosines`` (N, N) of what lies in the files `decoded` and, at positions `at`, in `true`.

    0 where one is zero, NaN where one is not finite.  Block by block, so that a thousand embeddings of
    256 x 1,664 tokens need not lie in memory.
    """
    with np.errstate(invalid="ignore"):
        products = np.zeros((len(at), len(at)))
        squares = np.zeros((2, len(at)))
        for ours, theirs in _blocks(decoded, true, len(at)):
            theirs = theirs[at]
            products += ours @ theirs.T
            squares += np.stack([(ours**2).sum(axis=1), (theirs**2).sum(axis=1)])
        norms = np.sqrt(squares[0])[:, None] * np.sqrt(squares[1])
        cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    cosines[~np.isfinite(squares[0])] = np.nan
    cosines[:, ~np.isfinite(squares[1])] = np.nan
    save_array(folder, "cosines", cosines)


def _blocks(
    decoded: Sequence[str], true: Sequence[str], images: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Columns of both sides, float64, a block at a time."""
    opened = [[Filed(file).load() for file in files] for files in (decoded, true)]
    sides = [[array.reshape(len(array), -1) for array in side] for side in opened]
    step = max(1, BLOCK_NUMBERS // max(images, 1))
    for start in range(0, sides[0][0].shape[1], step):
        part = slice(start, start + step)
        yield tuple(np.concatenate([rows[:, part] for rows in side]).astype(np.float64) for side in sides)


def _numbers(width: int) -> str:
    return "embeddings of unequal sizes" if width < 0 else f"an embedding of {width:,} numbers"
