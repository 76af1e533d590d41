"""Scores in the decoder's own embedding: how near is what it decoded to the truth?

A decoder that predicts an embedding from responses and can embed images says how well it retrieves before
any generator paints over the gaps.  ``score(cosines (N, N)) -> (N,)`` with ``cosines[j, i]`` between what was
decoded for image j and the decoder's own embedding of the true image i.  Offered besides: ``ids`` of the
images; ``copies`` (N,), equal numbers where stimuli are equal, or None where no two are.  The true stimuli
are embedded once per fitted decoder; cosines are kept per row and shared by all metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..catalogue import Metric
from ..errors import HarnessError, PluginError
from ..plugins import PluginRef
from ..rows.row_images import RowImages
from ..stages.decode import Reconstructions
from ..stages.embedding import embed_batch
from ..storage.cached import Item, cached, cached_map
from ..storage.references import Filed, pictures
from ..storage.store import Artifact
from .calls import HEADLINE
from .compare import Comparison, Offer, compared, controls, derangements_of
from .context import ENDS_A_RUN, Circumstances, Scorer, Scoring
from .cosines import write_cosines
from .scores import MetricRef, Score, Scored


@dataclass(frozen=True)
class Embedding:
    """(N, D) numbers of `ids`, read lazily from one artifact per micro-batch; tokens are flattened."""

    ids: tuple[str, ...]
    batches: tuple[Artifact, ...]

    @classmethod
    def of(cls, reconstructions: Reconstructions) -> Embedding | None:
        """What the decoder predicted along with its images, if it did."""
        complete = all(batch.has("embedding.npy") for batch in reconstructions.batches)
        return cls(reconstructions.ids, reconstructions.batches) if complete else None

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
        embeddings = {place: Embedding.of(reconstructions) for place, reconstructions in run.decoded.items()}
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
        ingredients = {"model": model.key, "micro_batch": size, "device": model.device.partition(":")[0]}
        with run.stage("embed", len(stimuli)) as advance:
            common = {"store": run.store, "executor": run.executor, "progress": advance}
            artifacts = cached_map("embed", items, embed_batch, depends_on=ingredients, **common)
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
        scores += [
            Score(metric, images, "stimulus", of_images[HEADLINE]) for images, of_images in zip(what, values)
        ]
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
        ingredients = {"decoded": embedding.keys, "true": self.true.keys, "positions": at}
        artifact = cached(
            "score",
            write_cosines,
            embedding.files,
            self.true.files,
            at,
            depends_on={"model": self.run.decoder.key, **ingredients},
            store=self.run.store,
            executor=self.run.executor,
        )
        return Offer(Filed(str(artifact.folder / "cosines.npy")), artifact.key)


def lacks_embed(decoder: PluginRef) -> str:
    """Why the decoder plugin `decoder` embeds no images, or ``""``."""
    if hasattr(decoder.load(), "embed"):
        return ""
    return f"decoder '{decoder.name}' has no embed(images), so there is no true embedding to compare with"


def _numbers(width: int) -> str:
    return "embeddings of unequal sizes" if width < 0 else f"an embedding of {width:,} numbers"
