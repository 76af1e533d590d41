"""A run: the stages in order, from a plan to scores.

Each stage is a plain function over artifacts in :mod:`harness.stages`; this module only says which
comes after which, and what a row is made of.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data import Stimuli, SubjectData
from ..progress import Reporter, Silent, listening
from ..rows.adapters import fit_adapter
from ..rows.bottleneck import bottleneck_streams
from ..rows.controls import control_images, image_sets
from ..rows.opaque import TRUE_IDS, OpaqueNames
from ..rows.table import SHUFFLED, Stream, response_streams
from ..scoring.context import Scoring
from ..scoring.contributions import VOXEL_R, region_contributions, voxel_r_intervals
from ..scoring.driver import layers_read, score_all
from ..scoring.response_target import ResponseTarget, response_rows
from ..seeds import image_seeds
from ..stages.cheats import cheat_responses, cheat_streams
from ..stages.data import load_subject
from ..stages.decode import Reconstructions, decode, generate
from ..stages.encode import encode
from ..stages.features import FeatureStore
from ..stages.fit import Model, fit_decoder, fit_encoder, wanted
from ..stages.reconstructions import GivenImages
from ..stages.selection import choose
from ..storage.executors import Executor, open_executor, single_thread
from ..storage.store import Store
from .flags.thumbnails import look_at
from .outcome import Outcome
from .plan import Plan
from .protocols import blended, declared_blend, protocol_named

logger = logging.getLogger(__name__)


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
        self.cheats: dict[str, np.ndarray] = {}
        self.seconds: dict[str, float] = {}
        self.model: Model | None = None
        self.decoded: dict[tuple[str, int, int], Reconstructions] = {}

    @single_thread()
    def run(self) -> Outcome:
        """Carry out every stage; what is in the store is not computed again."""
        plan, settings = self.plan, self.plan.settings
        try:
            with self._stage("data", 1):
                data, subset, warned = load_subject(
                    plan.benchmark_object(),
                    plan.subject,
                    ref=plan.benchmark,
                    store=self.store,
                    limit=settings.limit,
                    present=plan.decoder.present if settings.allow_missing else None,
                )
            outcome = Outcome(plan, data, subset, seconds=self.seconds, warned=warned)
            self.names = OpaqueNames.of(plan.benchmark.load(), data.test.stimuli)
            predicted = self._encode(outcome)
            if isinstance(plan.decoder, GivenImages):
                flat = "reconstructions" if plan.encoder is None else "predicted"
                rows = plan.decoder.rows(data.test.stimuli, flat_row=flat)
                made = {(row, -1, 0): images for row, images in rows.items()}
                inputs: dict[str, np.ndarray] = {}
            elif plan.decoder is not None:
                made, inputs = self._decode(outcome, predicted)
            else:
                made, inputs = {}, {}
            if made:
                outcome.sets = image_sets(made | control_images(data, inputs, store=self.store), data)
            self._score(outcome, predicted)
            outcome.predicted = None if predicted is None else predicted.mean(axis=1, dtype=np.float64)
            if outcome.sets:
                with self._stage("look", len(outcome.sets)):
                    outcome.copies = look_at(outcome.sets, data, self.store)
            return outcome
        finally:
            # Whoever interrupts does not want to wait for a worker's shard.
            self.executor.close(wait=not isinstance(sys.exception(), KeyboardInterrupt))
            self.features.release()
            self.store.close()

    @contextmanager
    def _stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        seconds = self.seconds
        started = time.perf_counter()
        self.reporter.start(name, total)
        try:
            with listening(self.reporter.within):
                yield self.reporter.advance
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
                for stimuli in sets:
                    # One pass over the images for the encoder and for what is scored later.
                    which = "training" if stimuli is data.train.stimuli else "test"
                    both = {*names, *self._scored_layers(backbone, which)}
                    self.features.extract(backbone, sorted(both), [stimuli], progress=self.reporter.advance)
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
        outcome.warned += self.encoder.warned
        with self._stage("encode", len(data.test) + adapts * len(data.train)):
            samples = self._samples(encoder.stochastic)
            names = TRUE_IDS if getattr(encoder, "by_id", False) else self.names
            predicted = self._predict(data.test.stimuli, data, samples, outcome, names=names)
            self.trained = self._predict(data.train.stimuli, data, 1, outcome)[:, 0] if adapts else None
        return predicted

    def _scored_layers(self, backbone: str, which: str) -> set[str]:
        """Layers of `backbone` that metrics compare, of the stimuli `which`."""
        return layers_read(self.plan.metrics, backbone, which) if self.plan.decoder is not None else set()

    def _predict(
        self,
        stimuli: Stimuli,
        data: SubjectData,
        samples: int,
        outcome: Outcome,
        *,
        names: OpaqueNames = TRUE_IDS,
    ) -> np.ndarray:
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
            names=names,
            progress=self.reporter.advance,
        )
        self.features.release()
        return predicted

    def _decode(
        self, outcome: Outcome, predicted: np.ndarray | None
    ) -> tuple[dict[tuple[str, int, int], Stimuli], dict[str, np.ndarray]]:
        """Finished images by (row, trial, sample), and the (N, V) input of rows for nearest-train."""
        plan, data, settings = self.plan, outcome.data, self.plan.settings
        self._extract_for_decoder(data.train.stimuli)
        with self._stage("fit decoder", 1):
            model = fit_decoder(
                plan.decoder,
                plan.decoder_params,
                data,
                features=self.features,
                store=self.store,
                seed=settings.seed,
                device=settings.device,
            )
        outcome.keys["decoder"] = model.key
        outcome.warned += model.warned
        plugin = plan.decoder.load()
        outcome.transductive = bool(plugin.transductive)
        samples = self._samples(plugin.stochastic)
        drawn = {"seed": settings.seed, "samples": samples, "repeats": plugin.repeats}
        again = plugin.stochastic and any(metric.load().independent for metric in plan.metrics)
        streams = response_streams(data, trial_rows=settings.trial_rows, redrawn=again, **drawn)
        streams += bottleneck_streams(data, settings.bottleneck, store=self.store, **drawn)
        if settings.cheat_rows:
            self.cheats = cheat_responses(
                data,
                model,
                lambda stream: self._decoded_alone(outcome, model, stream),
                features=self.features,
                store=self.store,
                seed=settings.seed,
            )
            streams += cheat_streams(self.cheats, data, seed=settings.seed, samples=samples)
        inputs = {"measured": data.test.responses.mean()}
        if predicted is not None:
            streams += self._predicted_streams(data, predicted, plugin)
            inputs["predicted"] = predicted.mean(axis=1, dtype=np.float64).astype(np.float32)
        ceiling = hasattr(plugin, "generate")
        with self._stage("decode", sum(len(s.responses.ids) for s in streams) + ceiling * len(data.test)):
            common = self._decoding(data) | {"progress": self.reporter.advance}
            found = decode(model, streams, names=self.names, **common)
            decoded = {(s.row, s.trial, s.sample): r for s, r in zip(streams, found, strict=True)}
            if ceiling:
                decoded["generator-ceiling", -1, 0] = generate(
                    model, data.test.stimuli, seed=settings.seed, **common
                )
        self.model, self.decoded = model, decoded
        return {name: self._chosen(outcome, made) for name, made in decoded.items()}, inputs

    def _extract_for_decoder(self, stimuli: Stimuli) -> None:
        """Features that the decoder wants of the training `stimuli`."""
        layers = wanted(self.plan.decoder.load()(self.plan.decoder_params))
        if layers:
            with self._stage("features", len(stimuli) * len(dict(layers))) as advance:
                for backbone in dict(layers):
                    names = [layer for name, layer in layers if name == backbone]
                    self.features.extract(backbone, names, [stimuli], progress=advance)

    def _decoding(self, data: SubjectData) -> dict[str, Any]:
        settings = self.plan.settings
        sizes = {"micro_batch": settings.micro_batch, "shard_size": settings.shard_size}
        return {"space": data.space, "store": self.store, "executor": self.executor, **sizes}

    def _decoded_alone(
        self, outcome: Outcome, model: Model, stream: Stream
    ) -> tuple[Reconstructions, Stimuli]:
        """What `model` makes of a stream that is no row, and its first candidates."""
        with self._stage("decode noise", len(stream.responses.ids)):
            common = self._decoding(outcome.data) | {"progress": self.reporter.advance}
            (made,) = decode(model, [stream], **common)
        return made, made.chosen(np.zeros(len(made.ids), np.int64))

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
        images = made.chosen(choice)
        low_level, protocol = made.optional_parts("low_level"), protocol_named(self.plan.settings.protocol)
        if low_level is None:
            return images
        decoder = self.plan.decoder
        share = declared_blend(decoder, self.plan.decoder_params) if protocol is None else protocol.blend
        if not share:
            return images
        outcome.blended = share
        return blended(images, low_level, share=share, enlarge=protocol is not None)

    def _score(self, outcome: Outcome, predicted: np.ndarray | None) -> None:
        """Scores of everything that was decoded and predicted."""
        settings = self.plan.settings
        run = Scoring(
            outcome.data,
            self.store,
            self.executor,
            self.features,
            sets=outcome.sets,
            predicted=predicted,
            cheats=self.cheats,
            decoder=self.model,
            decoded=self.decoded,
            shuffled=SHUFFLED.get,
            derangements=settings.derangements,
            micro_batch=settings.micro_batch,
            device=settings.device,
            stage=self._stage,
        )
        outcome.scored = score_all(self.plan.metrics, run)
        labels = {score.metric.label for score in outcome.scored.responses}
        if labels:
            self._contribute(outcome, labels, run)

    def _contribute(self, outcome: Outcome, labels: set[str], run: Scoring) -> None:
        """What each image contributes to voxel scores, by region."""
        with self._stage("score responses", 1):
            rows = response_rows(outcome.data, run.predicted) | self.cheats
            target = ResponseTarget.of(outcome.data)
            kept = region_contributions({*labels, VOXEL_R}, rows, target, outcome.data, store=self.store)
            outcome.region_contributions = [line for line in kept if line.metric in labels]
            outcome.voxel_r = voxel_r_intervals(kept, rows)
