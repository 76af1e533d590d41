"""Training data of the scored subject in part: for a transfer, or for a decoder that an encoder teaches too.

A part is a named subset by the hash of ids, the same for every model (:func:`harness.seeds.subset`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..data import Responses, Split, SubjectData
from ..errors import ConfigError
from ..seeds import subset


def few(data: SubjectData, count: int | None) -> SubjectData:
    """`data` with `count` of its training images, or all."""
    if count is None:
        return data
    ids = _part(data, count, setting="run.adapt_images")
    return replace(data, train=data.train.select(ids), source=None)


def decoder_share(
    data: SubjectData, measured: int | None, synthetic: int, predicted: np.ndarray | None
) -> SubjectData:
    """What a decoder is fitted on: `measured` training images, and `synthetic` others as an encoder has them.

    predicted : (M, V) for all training images.  None of the other images' measured responses is in it.

    Raises
    ------
    ConfigError
        There are not so many images.
    """
    if measured is None and not synthetic:
        return data
    every = len(data.train)
    kept = _part(data, every - synthetic if measured is None else measured, setting="run.decoder_images")
    if not synthetic:
        return replace(data, train=data.train.select(kept), source=None)
    others = tuple(name for name in data.train.stimuli.ids if name not in set(kept))
    if predicted is None or synthetic > len(others):
        raise ConfigError(
            f"run.synthetic_images is {synthetic}; "
            + ("give an encoder" if predicted is None else f"only {len(others)} training images are left")
        )
    chosen = subset(others, synthetic)
    ids = tuple(name for name in data.train.stimuli.ids if name in {*kept, *chosen})
    own = data.train.responses.select(kept)
    place = {name: k for k, name in enumerate(data.train.stimuli.ids)}
    position = {name: k for k, name in enumerate(ids)}
    trials = np.concatenate([own.trials(), predicted[[place[name] for name in chosen]].astype(np.float32)])
    index = np.array([*(position[own.ids[k]] for k in own.image_index), *(position[name] for name in chosen)])
    session = np.concatenate([own.session, np.full(len(chosen), own.session.max(initial=0) + 1)])
    responses = Responses(data.space, ids, trials, index, session=session)
    return replace(data, train=Split(data.train.stimuli.select(ids), responses), source=None)


def _part(data: SubjectData, count: int, *, setting: str) -> tuple[str, ...]:
    """Ids of `count` training images, in their order."""
    if not 1 <= count <= len(data.train):
        raise ConfigError(f"{setting} asks for {count} of {len(data.train)} training images")
    chosen = set(subset(data.train.stimuli.ids, count))
    return tuple(name for name in data.train.stimuli.ids if name in chosen)
