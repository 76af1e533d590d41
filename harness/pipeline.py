"""A run: the stages in order, from a plan to scores.

Each stage is a plain function over artifacts in :mod:`harness.stages`; this module only says which
comes after which, and what a row is made of.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .adapters import fit_adapter
from .data import Stimuli, SubjectData, image_sha
from .errors import HarnessError, StoreError
from .executors import Executor, open_executor
from .nn.nearest import nearest
from .plan import Plan
from .precomputed import ReconstructionFolder
from .rows import NEAREST, SHUFFLED, Stream, response_streams
from .seeds import image_seeds
from .selection import choose
from .stages.data import Subset, load_subject
from .stages.decode import Reconstructions, decode, generate
from .stages.encode import encode
from .stages.features import FeatureStore
from .stages.fit import fit_decoder, fit_encoder
from .stages.score import Failure, ImageSet, MetricRef, Score, score_embeddings, score_pixels
from .stages.score_responses import (
    ResponseScore,
    ResponseTarget,
    response_rows,
    score_responses,
    voxel_r_intervals,
)
from .store import Store, save_array

logger = logging.getLogger(__name__)

# Rows whose reconstructions share trials with the measured row: no agreement with it is scored.
_NO_REFERENCE = ("measured", "measured-trial", "half-2")


class Reporter(Protocol):
    """Where progress goes; :class:`Silent` for library use, rich on the command line."""

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None: ...


class Silent:
    """Report nothing."""

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None: ...


@dataclass
class Outcome:
    """Everything that a finished run knows, before it is written (:mod:`harness.record`)."""

    plan: Plan
    data: SubjectData
    subset: Subset | None
    sets: list[ImageSet] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    response_scores: list[ResponseScore] = field(default_factory=list)
    voxel_r: dict[str, Sequence[float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    wanted: tuple[tuple[str, str], ...] = ()
    candidates: int = 1
    transductive: bool = False
    keys: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """One run of `plan` on `store`."""

    def __init__(self, plan: Plan, store: Store, *, reporter: Reporter | None = None) -> None:
        self.plan, self.store = plan, store
        self.reporter: Reporter = reporter or Silent()
        settings = plan.settings
        self.executor: Executor = open_executor(
            settings.executor, workers=settings.workers, device=settings.device
        )
        self.features = FeatureStore(store, self.executor, device=settings.device)

    def run(self) -> Outcome:
        """Carry out every stage; what is in the store is not computed again."""
        plan, settings = self.plan, self.plan.settings
        try:
            with self._stage("data", 1) as outcome_seconds:
                data, subset = load_subject(
                    plan.benchmark_object(),
                    plan.subject,
                    ref=plan.benchmark,
                    store=self.store,
                    limit=settings.limit,
                )
            outcome = Outcome(plan, data, subset, seconds=outcome_seconds)
            predicted = self._encode(outcome)
            if isinstance(plan.decoder, ReconstructionFolder):
                flat = "reconstructions" if plan.encoder is None else "predicted"
                rows = plan.decoder.rows(data.test.stimuli, flat_row=flat)
                made = {(row, -1, 0): images for row, images in rows.items()}
                inputs: dict[str, np.ndarray] = {}
            elif plan.decoder is not None:
                made, inputs = self._decode(outcome, predicted)
            else:
                made, inputs = {}, {}
            if made:
                self._controls(outcome, made, inputs)
            self._score(outcome)
            self._score_responses(outcome, predicted)
            return outcome
        finally:
            # Whoever interrupts does not want to wait for a worker's shard.
            self.executor.close(wait=not isinstance(sys.exception(), KeyboardInterrupt))
            self.features.release()
            self.store.close()

    @contextmanager
    def _stage(self, name: str, total: int) -> Iterator[dict[str, float]]:
        seconds: dict[str, float] = getattr(self, "_seconds", {})
        self._seconds = seconds
        started = time.perf_counter()
        self.reporter.start(name, total)
        try:
            yield seconds
        finally:
            self.reporter.finish()
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

    def _samples(self, stochastic: bool) -> int:
        return self.plan.settings.samples if stochastic else 1

    def _encode(self, outcome: Outcome) -> np.ndarray | None:
        """(N, S, V) predictions for the test images, or None without an encoder."""
        plan, data, settings = self.plan, outcome.data, self.plan.settings
        if plan.encoder is None:
            return None
        encoder = plan.encoder.load()(plan.encoder_params)
        outcome.wanted = tuple(encoder.wants())
        adapts = settings.adapter != "none"
        sets = [data.train.stimuli, data.test.stimuli]
        with self._stage("features", sum(map(len, sets)) * len(dict(outcome.wanted))):
            layers: dict[str, list[str]] = {}
            for backbone, layer in outcome.wanted:
                layers.setdefault(backbone, []).append(layer)
            for backbone, names in layers.items():
                self.features.extract(backbone, names, sets, progress=self.reporter.advance)
        with self._stage("fit encoder", 1):
            self.encoder = fit_encoder(
                plan.encoder,
                plan.encoder_params,
                [data],
                features=self.features,
                store=self.store,
                seed=settings.seed,
                device=settings.device,
            )
        outcome.keys["encoder"] = self.encoder.key
        with self._stage("encode", len(data.test) + adapts * len(data.train)):
            predicted = self._predict(data.test.stimuli, data, self._samples(encoder.stochastic), outcome)
            self.trained = self._predict(data.train.stimuli, data, 1, outcome)[:, 0] if adapts else None
        return predicted

    def _predict(self, stimuli: Stimuli, data: SubjectData, samples: int, outcome: Outcome) -> np.ndarray:
        for backbone, layer in outcome.wanted:
            self.features.hold(backbone, layer, stimuli)
        predicted = encode(
            self.encoder,
            stimuli,
            space=data.space,
            features=self.features,
            store=self.store,
            seed=self.plan.settings.seed,
            samples=samples,
            micro_batch=self.plan.settings.micro_batch,
            progress=self.reporter.advance,
        )
        self.features.release()
        return predicted

    def _decode(
        self, outcome: Outcome, predicted: np.ndarray | None
    ) -> tuple[dict[tuple[str, int, int], Stimuli], dict[str, np.ndarray]]:
        """Finished images by (row, trial, sample), and the (N, V) input of rows for nearest-train."""
        plan, data, settings = self.plan, outcome.data, self.plan.settings
        with self._stage("fit decoder", 1):
            model = fit_decoder(
                plan.decoder,
                plan.decoder_params,
                data,
                store=self.store,
                seed=settings.seed,
                device=settings.device,
            )
        outcome.keys["decoder"] = model.key
        plugin = plan.decoder.load()
        outcome.transductive = bool(plugin.transductive)
        streams = response_streams(
            data,
            seed=settings.seed,
            samples=self._samples(plugin.stochastic),
            repeats=plugin.repeats,
            trial_rows=settings.trial_rows,
        )
        inputs = {"measured": data.test.responses.mean()}
        if predicted is not None:
            streams += self._predicted_streams(data, predicted, plugin)
            inputs["predicted"] = predicted.mean(axis=1, dtype=np.float64).astype(np.float32)
        ceiling = hasattr(plugin, "generate")
        with self._stage("decode", sum(len(s.responses.ids) for s in streams) + ceiling * len(data.test)):
            common = {
                "space": data.space,
                "store": self.store,
                "executor": self.executor,
                "micro_batch": settings.micro_batch,
                "shard_size": settings.shard_size,
                "progress": self.reporter.advance,
            }
            found = decode(model, streams, **common)
            made = {
                (s.row, s.trial, s.sample): self._chosen(outcome, r)
                for s, r in zip(streams, found, strict=True)
            }
            if ceiling:
                images = generate(model, data.test.stimuli, seed=settings.seed, **common)
                made["generator-ceiling", -1, 0] = self._chosen(outcome, images)
        return made, inputs

    def _predicted_streams(self, data: SubjectData, predicted: np.ndarray, plugin: Any) -> list[Stream]:
        settings, ids = self.plan.settings, data.test.stimuli.ids
        adapter = fit_adapter(
            settings.adapter,
            data.space,
            self.trained,
            data.train.responses,
            repeats=int(np.round(data.test.responses.counts().mean())),
        )
        streams = []
        for sample in range(max(predicted.shape[1], self._samples(plugin.stochastic))):
            seeds = image_seeds(settings.seed, ids, sample)
            responses = adapter(predicted[:, min(sample, predicted.shape[1] - 1)], ids, seeds)
            if plugin.repeats == "inputs" and responses.n_trials > len(ids):
                responses = type(responses).single(data.space, ids, responses.mean())
            streams.append(Stream("predicted", -1, sample, responses, seeds))
        return streams

    def _chosen(self, outcome: Outcome, made: Reconstructions) -> Stimuli:
        outcome.candidates = max(outcome.candidates, made.candidates())
        choice = choose(made, self.plan.settings.selection, outcome.data.test.stimuli)
        return made.chosen(choice)

    def _controls(
        self,
        outcome: Outcome,
        made: dict[tuple[str, int, int], Stimuli],
        inputs: dict[str, np.ndarray],
    ) -> None:
        """Image sets of every row: what was made, and the controls that need no decoder."""
        data = outcome.data
        ids, train = data.test.stimuli.ids, data.train
        first = data.test.stimuli.images(ids[:1])
        constant = {
            "mean-image": _mean_image(train.stimuli, first.dtype, self.store),
            "flat-grey": np.full(first.shape[1:], 128 if first.dtype == np.uint8 else 0.5, first.dtype),
        }
        for row, image in constant.items():
            made[row, -1, 0] = _constant_set(ids, image)
        patterns = train.responses.mean()[:, data.space.valid]
        if not inputs:  # images given: the measured responses still say which training image is nearest
            inputs = {"measured": data.test.responses.mean()}
        for row, responses in inputs.items():
            at = nearest(responses[:, data.space.valid], patterns)
            made[NEAREST[row], -1, 0] = _renamed(train.stimuli, at, ids)
        for (row, trial, sample), images in made.items():
            measured = self._reference(made, row, sample)
            outcome.sets.append(
                ImageSet(
                    row,
                    trial,
                    sample,
                    images,
                    data.test.stimuli.select(images.ids),
                    None if measured is None else measured.select(images.ids),
                )
            )

    @staticmethod
    def _reference(made: dict[tuple[str, int, int], Stimuli], row: str, sample: int) -> Stimuli | None:
        """What a row's agreement is with: the measured row of the same sample; for half-1, half-2."""
        if row in _NO_REFERENCE:
            return None
        other = "half-2" if row == "half-1" else "measured"
        return made.get((other, -1, sample), made.get((other, -1, 0)))

    def _score(self, outcome: Outcome) -> None:
        """Image scores; a metric that raises is recorded and the next one goes on."""
        settings = self.plan.settings
        metrics = [m for m in self.plan.metrics if m.load().inputs in ("images", "embedding")]
        if not outcome.sets:
            return
        self._embed(outcome, metrics)
        with self._stage("score", len(metrics)):
            for metric in metrics:
                try:
                    common = {
                        "store": self.store,
                        "derangements": settings.derangements,
                        "shuffled": SHUFFLED.get,
                    }
                    if metric.load().inputs == "images":
                        found = score_pixels(metric, outcome.sets, executor=self.executor, **common)
                    else:
                        found = score_embeddings(metric, outcome.sets, features=self.features, **common)
                    outcome.scores += found
                except StoreError:
                    raise
                except Exception as problem:
                    _note_failure(outcome, metric, problem)
                self.reporter.advance(1)

    def _embed(self, outcome: Outcome, metrics: Sequence[MetricRef]) -> None:
        layers: dict[str, set[str]] = {}
        for metric in metrics:
            if metric.load().inputs == "embedding":
                backbone, layer = metric.load().backbone
                layers.setdefault(backbone, set()).add(layer)
        unique = {images.sha: images for s in outcome.sets for images in (s.images, s.stimuli)}
        with self._stage("embed", sum(map(len, unique.values())) * len(layers)):
            for backbone, names in sorted(layers.items()):
                try:
                    self.features.extract(
                        backbone, sorted(names), list(unique.values()), progress=self.reporter.advance
                    )
                except HarnessError as problem:
                    # Its metrics fail one by one below, with this as their reason.
                    logger.warning("backbone '%s' fails: %s", backbone, problem)

    def _score_responses(self, outcome: Outcome, predicted: np.ndarray | None) -> None:
        metrics = [m for m in self.plan.metrics if m.load().inputs == "responses"]
        if not metrics:
            return
        with self._stage("score responses", len(metrics) + 1):
            rows, target = response_rows(outcome.data, predicted), ResponseTarget.of(outcome.data)
            for metric in metrics:
                try:
                    outcome.response_scores += score_responses(metric, rows, target, store=self.store)
                except StoreError:
                    raise
                except Exception as problem:
                    _note_failure(outcome, metric, problem)
                self.reporter.advance(1)
            outcome.voxel_r = voxel_r_intervals(rows, target, store=self.store)
            self.reporter.advance(1)


def _note_failure(outcome: Outcome, metric: MetricRef, problem: Exception) -> None:
    logger.debug("metric %s", metric.label, exc_info=problem)
    logger.warning("metric '%s' failed: %s: %s", metric.ref.name, type(problem).__name__, problem)
    outcome.failures.append(Failure(metric.label, f"{type(problem).__name__}: {problem}"))


def _mean_image(train: Stimuli, dtype: np.dtype, store: Store) -> np.ndarray:
    """(H, W, 3) mean of the training images, rounded where they are uint8."""

    def make(folder: Path) -> None:
        total = sum(batch.sum(axis=0, dtype=np.float64) for _, batch in train.batches(256))
        mean = total / len(train)
        save_array(folder, "image", np.round(mean).astype(dtype) if dtype == np.uint8 else mean.astype(dtype))

    return np.array(store.get("controls", {"what": "mean-image", "train": train.sha}, make).array("image"))


def _constant_set(ids: tuple[str, ...], image: np.ndarray) -> Stimuli:
    def read(positions: np.ndarray) -> np.ndarray:
        return np.broadcast_to(image, (len(positions), *image.shape)).copy()

    return Stimuli(ids, read, hashes=[image_sha(image)] * len(ids))


def _renamed(stimuli: Stimuli, at: np.ndarray, ids: tuple[str, ...]) -> Stimuli:
    """The images at positions `at`, under other ids; an image may stand for several."""
    names, hashes = [stimuli.ids[k] for k in at], stimuli.image_hashes()

    def read(positions: np.ndarray) -> np.ndarray:
        return stimuli.images([names[k] for k in positions])

    return Stimuli(ids, read, hashes=[hashes[k] for k in at])
