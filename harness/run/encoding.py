"""The branch of a run that ends in predicted responses; it needs nothing of the decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..data import Stimuli
from ..notices import Flag
from ..plugins import PluginRef
from ..rows.opaque import TRUE_IDS, OpaqueNames
from ..scoring.driver import layers_read
from ..stages.encode import encode
from ..stages.fit import adapt_encoder, fit_encoder, wanted
from ..stages.model import Model
from .context import Context
from .preparation import Prepared
from .shares import few

Layers = tuple[tuple[str, str], ...]
"""(backbone, layer) pairs."""


@dataclass(frozen=True)
class Encoded:
    """What an encoder predicts.

    predicted : (N, S, V) for the test images, before any adapter.
    training : (M, V) for the scored subject's training images, where an adapter or the decoder is fitted on
        them.
    wanted : what the encoder is built on.
    keys : artifacts of the encoder that predicts and of what it was adapted from.
    """

    predicted: np.ndarray
    training: np.ndarray | None
    wanted: Layers
    keys: Mapping[str, str]
    warned: tuple[Flag, ...]

    def mean(self) -> np.ndarray:
        """(N, V) float64 over samples."""
        return self.predicted.mean(axis=1, dtype=np.float64)


def encoder_branch(context: Context, prepared: Prepared) -> Encoded | None:
    """Fit, transfer and predictions; None without an encoder."""
    plan, data = context.plan, prepared.data
    if plan.encoder is None:
        return None
    encoder = plan.encoder.load()(plan.encoder_params)
    models = fitted_encoders(context, prepared)
    settings = context.settings
    also_training = settings.adapter != "none" or settings.synthetic_images > 0
    with context.stage("encode", len(data.test) + also_training * len(data.train)) as advance:
        predict = partial(_predict, context, prepared, models[-1], advance)
        names = TRUE_IDS if getattr(encoder, "by_id", False) else prepared.names
        predicted = predict(data.test.stimuli, context.samples(encoder.stochastic), names)
        training = predict(data.train.stimuli, 1, TRUE_IDS)[:, 0] if also_training else None
    keys = {"encoder": models[-1].fit_key or models[-1].key}
    if len(models) > 1:
        keys["encoder before its transfer"] = models[0].fit_key or models[0].key
    warned = tuple(flag for model in models for flag in model.warned)
    return Encoded(predicted, training, wanted(encoder), keys, warned)


def extract_features(context: Context, prepared: Prepared) -> None:
    """Features that the encoder and the decoder want, before either is fitted.

    An image that both use, or what is scored later, goes through a backbone once.
    """
    layers: dict[tuple[str, int], set[str]] = {}
    sets: dict[int, Stimuli] = {}
    for of_plugin, used in _wanted_of(context, prepared):
        for backbone, layer in of_plugin:
            for stimuli in used:
                layers.setdefault((backbone, id(stimuli)), set()).add(layer)
                sets[id(stimuli)] = stimuli
    if not layers:
        return
    with context.stage("features", sum(len(sets[number]) for _, number in layers)) as advance:
        for (backbone, number), names in layers.items():
            scored = _scored_layers(context, prepared, backbone, sets[number])
            context.features.extract(backbone, sorted({*names, *scored}), [sets[number]], progress=advance)


def _wanted_of(context: Context, prepared: Prepared) -> Iterator[tuple[Layers, Sequence[Stimuli]]]:
    """What each plugin wants, and of which images."""
    plan, data = context.plan, prepared.data
    if plan.encoder is not None:
        trained = [subject.train.stimuli for subject in prepared.training]
        if plan.subject not in plan.train_subjects:
            trained.append(data.train.stimuli)
        yield wanted(plan.encoder.load()(plan.encoder_params)), [*trained, data.test.stimuli]
    if isinstance(plan.decoder, PluginRef):
        yield wanted(plan.decoder.load()(plan.decoder_params)), [data.train.stimuli]


def fitted_encoders(context: Context, prepared: Prepared) -> list[Model]:
    """The encoder fitted on all training subjects and, where the scored one is none of them, the transfer."""
    plan, settings = context.plan, context.settings
    common = {"features": context.features, **context.place}
    common |= {"seed": settings.seed, "device": settings.device}
    with context.stage("fit encoder", 1):
        models = [fit_encoder(plan.encoder, plan.encoder_params, list(prepared.training), **common)]
    if plan.transfers:
        with context.stage("adapt encoder", 1):
            models.append(adapt_encoder(models[0], few(prepared.data, settings.adapt_images), **common))
    return models


def _scored_layers(context: Context, prepared: Prepared, backbone: str, stimuli: Stimuli) -> set[str]:
    """Layers of `backbone` that metrics compare, of the scored subject's `stimuli`."""
    data, plan = prepared.data, context.plan
    if plan.decoder is None:
        return set()
    if stimuli is data.test.stimuli:
        return layers_read(plan.metrics, backbone, "test")
    return layers_read(plan.metrics, backbone, "training") if stimuli is data.train.stimuli else set()


def _predict(
    context: Context,
    prepared: Prepared,
    encoder: Model,
    advance: Callable[[int], None],
    stimuli: Stimuli,
    samples: int,
    names: OpaqueNames,
) -> np.ndarray:
    """(N, S, V) predictions for `stimuli`."""
    return encode(
        encoder,
        stimuli,
        space=prepared.data.space,
        features=context.features,
        **context.place,
        seed=context.settings.seed,
        samples=samples,
        micro_batch=context.settings.micro_batch,
        names=names,
        progress=advance,
    )
