"""Training of one model: what makes an artifact of the stage fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..api import Features, Responses, Split, SubjectData
from ..storage.references import Reference
from .guard import guarded
from .model import Configured, Model


def fit_model(
    folder: Path,
    plugin: Configured,
    subjects: Sequence[Reference],
    features: Features | None,
    seed: int,
    device: str,
    place: str,
    *,
    checkpoints: Path,
) -> None:
    """Fit `plugin` on the training splits of `subjects` and let it save itself to `folder`.

    features : None for a decoder that takes none.  place : the folder of the store, for what the disk
    refuses.  checkpoints : for the plugin's own use.
    """
    loaded = [subject.load() for subject in subjects]
    how = {"seed": seed, "device": device, "checkpoint_dir": checkpoints}

    def fitted() -> Any:
        model = plugin.build()
        if plugin.ref.group == "encoders":
            model.fit([subject.training() for subject in loaded], features, **how)
        else:
            model.fit(decoder_training(model, loaded[0]), *([] if features is None else [features]), **how)
        return model

    _save(folder, plugin, fitted, place)


def compute_targets(
    plugin: Configured, subject: Reference, features: Features, seed: int, device: str, place: str
) -> None:
    """Let a decoder compute those of its targets that `features` has the share of, and keep them."""
    decoder = plugin.build()
    training = decoder_training(decoder, subject.load())
    guarded(
        plugin.ref,
        "fails while computing targets",
        lambda: decoder.targets(training, features, seed=seed, device=device),
        place=Path(place),
    )


def decoder_training(decoder: Any, subject: SubjectData) -> SubjectData:
    """What `decoder` is fitted on: the training split, with the mean response of each image in place of its
    trials for one that trains on means."""
    training = subject.training()
    if decoder.trains_on != "means":
        return training
    stimuli, responses = training.train.stimuli, training.train.responses
    means = Responses.single(responses.space, responses.ids, responses.mean())
    return replace(training, train=Split(stimuli, means))


def adapt_model(
    folder: Path,
    model: Model,
    subjects: Sequence[Reference],
    features: Features,
    seed: int,
    device: str,
    place: str,
    *,
    checkpoints: Path,
) -> None:
    """Adapt the encoder `model`, fitted on others, to the training split of one subject."""
    training = subjects[0].load().training()

    def adapted() -> Any:
        encoder = model.load(training.space)
        encoder.adapt(training, features, seed=seed, device=device, checkpoint_dir=checkpoints)
        return encoder

    _save(folder, model, adapted, place)


def _save(folder: Path, plugin: Configured, train: Callable[[], Any], place: str) -> None:
    ref = plugin.ref
    model = guarded(ref, "fails while fitting", train, place=Path(place))
    guarded(ref, "fails while saving", lambda: model.save(folder), place=Path(place))
