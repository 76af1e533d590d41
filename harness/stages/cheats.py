"""Encoders that cheat, beside the score on request (``run.cheat_rows``): what is it worth without a brain?

* ``cheat-inverse`` answers with whatever the decoder turns into the stimulus.  It knows the fitted
  decoder, and of the brain only each voxel's mean and spread over the training responses.  The decoder
  decodes :data:`PROBES` patterns of white noise with that mean and spread; a ridge of those patterns on
  what they decoded to, its penalty chosen by cross-validation, is the inverse (for a linear decoder a
  norm-penalised pseudo-inverse, for another that of its mean slope, by Stein's lemma); it is applied to
  the true stimuli.  Compared are the decoder's embeddings, where it has any and can embed images, else
  8 x 8 pixels.
* ``cheat-inverse-plain`` is the same with next to no penalty: one that predicts noise best shrinks voxels
  unequally, and they no longer decode to the stimulus.
* ``cheat-pixels`` is an encoder, but the poorest: a ridge of the training responses on the stimuli
  reduced to 8 x 8 pixels, which every decoder can show again.

Neither sees a response to a test image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..data import ImageSet, Responses, SubjectData
from ..rows.table import CHEATS, Stream
from ..seeds import image_seeds
from ..solvers.ridge import PENALTIES
from ..storage.cached import Item, cached_map
from ..storage.executors import Executor
from ..storage.store import Store
from .decode import Reconstructions
from .features import FeatureStore
from .guard import guarded
from .inverting import write_ridge
from .model import Model

PROBES = 400
"""Noise patterns decoded; the small MindEye2 takes some seconds for a hundred."""

NO_PENALTY = 1e-3
"""Of a ridge on standardised features: only what would be divided by nothing is held back."""

PIXELS = ("pixels", "rgb8")

Decode = Callable[[Stream], tuple[Reconstructions, ImageSet]]
"""A stream -> what the decoder made of it, and the images chosen among its candidates."""

Ridge = Callable[..., np.ndarray]
"""Features of P images, their responses (P, V), features of N images and the P ids -> (N, V) responses."""


def cheat_responses(
    data: SubjectData,
    model: Model,
    decode: Decode,
    *,
    features: FeatureStore,
    store: Store,
    executor: Executor,
    seed: int,
) -> dict[str, np.ndarray]:
    """Row of :data:`harness.rows.table.CHEATS` -> (N, V) float32 responses to the test images."""
    inverse, plain, pixels = CHEATS
    ridge = partial(_ridge, valid=data.space.valid, seed=seed, store=store, executor=executor)
    return {
        **_inverses(data, model, decode, (inverse, plain), features=features, ridge=ridge, seed=seed),
        pixels: _pixel_ridge(data, features=features, ridge=ridge),
    }


def cheat_streams(
    cheats: dict[str, np.ndarray], data: SubjectData, *, seed: int, samples: int
) -> list[Stream]:
    """Streams of the `cheats`, row -> (N, V), with the seeds of the other rows."""
    ids = data.test.stimuli.ids
    return [
        Stream(row, -1, sample, Responses.single(data.space, ids, values), image_seeds(seed, ids, sample))
        for sample in range(samples)
        for row, values in cheats.items()
    ]


def noise_probes(data: SubjectData, *, count: int, seed: int) -> Responses:
    """`count` patterns of white noise with the mean and spread of each valid voxel's training responses."""
    space, patterns = data.space, data.train.responses.mean().astype(np.float64)
    noise = np.random.default_rng([seed, count]).standard_normal((count, space.n_voxels))
    values = patterns.mean(axis=0) + patterns.std(axis=0) * noise
    ids = [f"noise-{k:05d}" for k in range(count)]
    return Responses.single(space, ids, np.where(space.valid, values, 0).astype(np.float32))


def _inverses(
    data: SubjectData,
    model: Model,
    decode: Decode,
    rows: tuple[str, str],
    *,
    features: FeatureStore,
    ridge: Ridge,
    seed: int,
) -> dict[str, np.ndarray]:
    """The inverse with a penalty, and the plain one."""
    probes = noise_probes(data, count=PROBES, seed=seed)
    stream = Stream("noise", -1, 0, probes, image_seeds(seed, probes.ids, 0))
    decoded, images = decode(stream)
    ours, wanted = _compared(model, decoded, images, data, features)
    grids = (PENALTIES, (NO_PENALTY,))
    return {
        row: ridge(ours, probes.mean(), wanted, probes.ids, penalties=grid) for row, grid in zip(rows, grids)
    }


def _compared(
    model: Model, decoded: Reconstructions, images: ImageSet, data: SubjectData, features: FeatureStore
) -> tuple[np.ndarray, np.ndarray]:
    """(P, D) of what the probes decoded to, and (N, D) of the true test images."""
    embedded, test = decoded.optional("embedding"), data.test.stimuli
    if embedded is not None and hasattr(model.ref.load(), "embed"):
        decoder = guarded(model.ref, "cannot be loaded", lambda: model.load(data.space))
        true: Any = guarded(
            model.ref, "fails while embedding images", lambda: decoder.embed(np.asarray(test.images()))
        )
        return embedded.reshape(len(embedded), -1), np.asarray(true).reshape(len(test), -1)
    return _pixels(features, images), _pixels(features, test)


def _pixel_ridge(data: SubjectData, *, features: FeatureStore, ridge: Ridge) -> np.ndarray:
    train, test = data.train, data.test.stimuli
    ours, wanted = _pixels(features, train.stimuli), _pixels(features, test)
    shas = train.stimuli.image_hashes()
    return ridge(ours, train.responses.mean(), wanted, train.stimuli.ids, contents=shas)


def _ridge(
    ours: np.ndarray,
    patterns: np.ndarray,
    wanted: np.ndarray,
    ids: tuple[str, ...],
    *,
    contents: Sequence[str] | None = None,
    penalties: Sequence[float] = PENALTIES,
    valid: np.ndarray,
    seed: int,
    store: Store,
    executor: Executor,
) -> np.ndarray:
    """(N, V) responses for `wanted` (N, D), by ridge of `patterns` (P, V) on `ours` (P, D).

    contents : hashes of the images `ids`, of which equal ones share a fold; None for noise.
    """
    numbers = {"ours": ours, "patterns": patterns, "wanted": wanted, "valid": valid}
    fit = (ids, contents, seed, penalties)
    named = dict(zip(("ids", "contents", "seed", "penalties"), fit))
    item = Item({**numbers, **named}, lambda: (tuple(map(executor.share, numbers.values())), *fit))
    (artifact,) = cached_map("controls", [item], write_ridge, store=store, executor=executor)
    return np.array(artifact.array("responses"))


def _pixels(features: FeatureStore, images: ImageSet) -> np.ndarray:
    return features.layer(*PIXELS, images).reshape(len(images), -1)
