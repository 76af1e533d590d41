"""The branch of a run that ends in finished images: the decoder's fit, which needs nothing of the encoder,
and the rows that are decoded once both are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..data import ImageSet, Responses, SubjectData
from ..errors import OutOfMemory
from ..notices import Flag
from ..rows.adapters import fit_adapter
from ..rows.bottleneck import bottleneck_streams
from ..rows.lesions import Lesions, lesion_streams
from ..rows.table import Stream, is_lesion, response_streams
from ..seeds import image_seeds
from ..settings import RunSettings
from ..stages.cheats import cheat_responses, cheat_streams
from ..stages.decode import Reconstructions, decode, generate
from ..stages.fit import decoder_targets, fit_decoder
from ..stages.fitting import compute_targets
from ..stages.given_captions import GivenCaptions
from ..stages.model import Model
from ..stages.reconstructions import GivenImages
from ..stages.selection import choose
from ..storage.cached import call_elsewhere
from .context import Context
from .encoding import Encoded
from .preparation import Prepared
from .protocols import blended, declared_blend, protocol_named
from .shares import decoder_share

logger = logging.getLogger(__name__)

Place = tuple[str, int, int]
"""(row, trial, sample)."""

CEILINGS: dict[Place, str] = {
    ("generator-ceiling", -1, 0): "generate",
    ("code-ceiling", -1, 0): "rebuild",
}
"""Rows of true images -> the optional method of a decoder that makes them, of their embedding or codes."""


@dataclass(frozen=True)
class DecodedRows:
    """What was decoded for every row, or given.

    images : finished ones.  inputs : row -> (N, V) what was decoded, by which the nearest training image is
    found.
    reconstructions : all candidates, where a decoder ran here.
    cheats : row -> (N, V) responses of encoders that cheat.
    captions : id -> caption, of rows without images.
    candidates : most of any image.  blended : share of the decoder's low-level images in what is scored.
    """

    images: Mapping[Place, ImageSet] = field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    reconstructions: Mapping[Place, Reconstructions] = field(default_factory=dict)
    cheats: Mapping[str, np.ndarray] = field(default_factory=dict)
    candidates: int = 1
    blended: float = 0.0
    captions: Mapping[Place, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class FittedDecoder:
    """The decoder, fitted on the scored subject, and what it makes of all rows that need no encoder.

    cheats : row -> (N, V) responses of encoders that cheat.
    micro_batch : stimuli that were decoded at a time.
    """

    model: Model
    cheats: Mapping[str, np.ndarray]
    reconstructions: dict[Place, Reconstructions]
    micro_batch: int


def decoder_branch(
    context: Context, prepared: Prepared, encoded: Encoded | None = None
) -> FittedDecoder | None:
    """Fit and rows that need no encoder; None where images were given, or none are asked for.

    encoded : where the decoder is fitted on an encoder's responses too.
    """
    plan, settings, data = context.plan, context.settings, prepared.data
    if plan.decoder is None or isinstance(plan.decoder, GivenImages | GivenCaptions):
        return None
    Lesions.of(data, settings.lesions)  # what cannot be made is said before the fit
    predicted = None if encoded is None else encoded.training
    with context.stage("fit decoder", 1):
        decoder = fit_decoder(
            plan.decoder,
            plan.decoder_params,
            decoder_share(data, settings.decoder_images, settings.synthetic_images, predicted),
            features=context.features,
            **context.place,
            seed=settings.seed,
            device=settings.device,
        )
    cheats = _cheats(context, prepared, decoder)
    rows = partial(_decoded_without_encoder, context, prepared, decoder, cheats)
    return FittedDecoder(decoder, cheats, *_in_memory(context, settings.micro_batch, rows))


def compute_targets_ahead(context: Context, prepared: Prepared) -> None:
    """Let all workers compute what the decoder's fit needs of training images, which one of them does alone
    otherwise while nothing is left for the others once the encoder is fitted.

    Not where the decoder learns of an encoder's responses too: nobody knows yet of how many images.
    """
    plan, settings, data = context.plan, context.settings, prepared.data
    given = plan.decoder is None or isinstance(plan.decoder, GivenImages | GivenCaptions)
    if given or settings.synthetic_images or not context.executor.elsewhere or settings.workers < 2:
        return
    calls = decoder_targets(
        plan.decoder,
        plan.decoder_params,
        decoder_share(data, settings.decoder_images, 0, None),
        features=context.features,
        **context.place,
        seed=settings.seed,
        device=settings.device,
        shares=settings.workers,
    )
    if calls:
        with context.stage("targets", len(calls)) as advance:
            call_elsewhere(compute_targets, calls, **context.place, progress=advance)


def decoded_rows(
    context: Context, prepared: Prepared, encoded: Encoded | None, decoder: FittedDecoder | None
) -> DecodedRows:
    """Finished images of every row but the controls that need no decoder."""
    plan, stimuli = context.plan, prepared.data.test.stimuli
    if isinstance(plan.decoder, GivenCaptions):
        return DecodedRows(captions={("captions", -1, 0): plan.decoder.of(stimuli.ids)})
    if isinstance(plan.decoder, GivenImages):
        flat = "reconstructions" if plan.encoder is None else "predicted"
        rows = plan.decoder.rows(stimuli, flat_row=flat)
        return DecodedRows({(row, -1, 0): images for row, images in rows.items()})
    if decoder is None:
        return DecodedRows()
    reconstructions = decoder.reconstructions
    if encoded is not None:

        def all_rows(micro_batch: int) -> dict[Place, Reconstructions]:
            """Of one size of micro-batch, the smaller one where only predictions had no memory."""
            decoded = dict(decoder.reconstructions)
            if micro_batch != decoder.micro_batch:
                decoded = _decoded_without_encoder(
                    context, prepared, decoder.model, decoder.cheats, micro_batch
                )
            predictions = _decoded_predictions(context, prepared, decoder.model, encoded, micro_batch)
            of_ceilings = {place: decoded.pop(place) for place in CEILINGS if place in decoded}
            return decoded | predictions | of_ceilings

        reconstructions, _ = _in_memory(context, decoder.micro_batch, all_rows)
    inputs = {"measured": prepared.data.test.responses.mean()}
    if encoded is not None:
        inputs["predicted"] = encoded.mean().astype(np.float32)
    parts = {name: of_row.optional_parts("low_level") for name, of_row in reconstructions.items()}
    share = _share(context) if any(low_level is not None for low_level in parts.values()) else 0.0
    images = {}
    for name, of_row in reconstructions.items():
        chosen = of_row.chosen(choose(of_row, context.settings.selection, stimuli))
        enlarge = bool(context.settings.protocol)
        mixes = share and parts[name] is not None
        images[name] = blended(chosen, parts[name], share=share, enlarge=enlarge) if mixes else chosen
    most = max(of_row.candidates() for of_row in reconstructions.values())
    return DecodedRows(images, inputs, reconstructions, decoder.cheats, most, share)


def row_streams(context: Context, data: SubjectData, cheats: Mapping[str, np.ndarray]) -> list[Stream]:
    """What is decoded for every row that needs no encoder."""
    plan, settings = context.plan, context.settings
    decoder = plan.decoder.load()
    drawn: dict[str, Any] = {"seed": settings.seed, "samples": context.samples(decoder.stochastic)}
    from_trials = drawn | {"repeats": decoder.repeats}
    again = decoder.stochastic and any(metric.load().independent for metric in plan.metrics)
    streams = response_streams(data, trial_rows=settings.trial_rows, redrawn=again, **from_trials)
    streams += bottleneck_streams(data, settings.bottleneck, **context.place, **from_trials)
    streams += lesion_streams(data, Lesions.of(data, settings.lesions), **from_trials)
    streams += cheat_streams(cheats, data, **drawn)
    return [stream for stream in streams if wants_row(settings, stream.row)]


ALWAYS = ("measured", "measured-redrawn", "predicted")
"""Rows that a run is for."""


def wants_row(settings: RunSettings, row: str) -> bool:
    """Whether a row is decoded: with ``run.rows``, those of :data:`ALWAYS`, those named there, and lesions,
    which a setting of their own asks for."""
    named = row.removesuffix("-redrawn") in settings.rows
    return not settings.rows or row in ALWAYS or named or is_lesion(row)


def predicted_streams(context: Context, data: SubjectData, encoded: Encoded) -> list[Stream]:
    """The predicted row's, one for each draw of the encoder or of the decoder, and its lesions'."""
    settings, ids, predicted = context.settings, data.test.stimuli.ids, encoded.predicted
    decoder = context.plan.decoder.load()
    adapter = fit_adapter(
        settings.adapter,
        data.space,
        encoded.training,
        data.train.responses,
        repeats=int(np.round(data.test.responses.counts().mean())),
    )
    streams = []
    for sample in range(max(predicted.shape[1], context.samples(decoder.stochastic))):
        seeds = image_seeds(settings.seed, ids, sample)
        responses = adapter(predicted[:, min(sample, predicted.shape[1] - 1)], ids, seeds)
        if decoder.repeats == "inputs" and responses.n_trials > len(ids):
            responses = Responses.single(data.space, ids, responses.mean())
        streams.append(Stream("predicted", -1, sample, responses, seeds))
    lesions = Lesions.of(data, settings.lesions)
    return streams if lesions is None else [*streams, *(s for row in streams for s in lesions.streams(row))]


def _cheats(context: Context, prepared: Prepared, decoder: Model) -> dict[str, np.ndarray]:
    if not context.settings.cheat_rows:
        return {}

    def decoded_alone(stream: Stream) -> tuple[Reconstructions, ImageSet]:
        """What a stream that is no row becomes, and its first candidates."""
        with context.stage("decode noise", len(stream.responses.ids)) as advance:
            (decoded,) = decode(decoder, [stream], progress=advance, **_tools(context, prepared))
        return decoded, decoded.chosen(np.zeros(len(decoded.ids), np.int64))

    return cheat_responses(
        prepared.data,
        decoder,
        decoded_alone,
        features=context.features,
        **context.place,
        seed=context.settings.seed,
    )


def _in_memory(
    context: Context, micro_batch: int, decoded: Callable[[int], dict[Place, Reconstructions]]
) -> tuple[dict[Place, Reconstructions], int]:
    """``decoded(micro_batch)``, or in smaller ones where the device has no memory for these, and their size.

    The size is in every key, and the run says that it is another than the one asked for.
    """
    while True:
        try:
            return decoded(micro_batch), micro_batch
        except OutOfMemory as problem:
            if micro_batch == 1:
                raise
            micro_batch //= 2
            text = (
                f"{problem}; decoded again in micro-batches of {micro_batch}, not "
                f"{context.settings.micro_batch}: --set run.micro_batch={micro_batch} starts with these"
            )
            logger.warning(text)
            context.store.warned[Flag("out-of-memory", "warning", text)] = None


def _decoded_without_encoder(
    context: Context, prepared: Prepared, decoder: Model, cheats: Mapping[str, np.ndarray], micro_batch: int
) -> dict[Place, Reconstructions]:
    """Every row that needs no encoder and, where the decoder can, those of the true images."""
    test, settings = prepared.data.test, context.settings
    streams = row_streams(context, prepared.data, cheats)
    plugin = context.plan.decoder.load()
    ceilings = {
        place: method
        for place, method in CEILINGS.items()
        if hasattr(plugin, method) and wants_row(settings, place[0])
    }
    total = sum(len(stream.responses.ids) for stream in streams) + len(ceilings) * len(test)
    with context.stage("decode", total) as advance:
        tools = _tools(context, prepared) | {"progress": advance, "micro_batch": micro_batch}
        reconstructions = _of_streams(decoder, streams, names=prepared.names, **tools)
        for place, method in ceilings.items():
            of_truth = generate(decoder, test.stimuli, seed=settings.seed, method=method, **tools)
            reconstructions[place] = of_truth
    return reconstructions


def _decoded_predictions(
    context: Context, prepared: Prepared, decoder: Model, encoded: Encoded, micro_batch: int
) -> dict[Place, Reconstructions]:
    """The predicted row."""
    streams = predicted_streams(context, prepared.data, encoded)
    with context.stage("decode predictions", sum(len(stream.responses.ids) for stream in streams)) as advance:
        tools = _tools(context, prepared) | {"progress": advance, "micro_batch": micro_batch}
        return _of_streams(decoder, streams, names=prepared.names, **tools)


def _of_streams(decoder: Model, streams: list[Stream], **how: Any) -> dict[Place, Reconstructions]:
    of_streams = decode(decoder, streams, **how)
    return {(s.row, s.trial, s.sample): decoded for s, decoded in zip(streams, of_streams, strict=True)}


def _tools(context: Context, prepared: Prepared) -> dict[str, Any]:
    settings = context.settings
    sizes = {"micro_batch": settings.micro_batch, "shard_size": settings.shard_size}
    return {"space": prepared.data.space, "eight_bit": settings.pictures == "uint8", **context.place, **sizes}


def _share(context: Context) -> float:
    """Share of the decoder's low-level images in what is scored: the protocol's, else what it declares."""
    protocol = protocol_named(context.settings.protocol)
    if protocol is not None:
        return protocol.blend
    return declared_blend(context.plan.decoder, context.plan.decoder_params)
