"""Rows ``measured-rank-K``: measured responses squeezed through K dimensions before they are decoded.

How much of the brain does a reconstruction need?  Mayo et al. (2024, "BrainBits") put a linear bottleneck
before each decoder and find that a few dozen dimensions keep most of its scores; what is left at 0 is
what the decoder draws without any brain.  Here the decoder stays as it was fitted and the bottleneck is
the first K principal components of the training responses (means over repeats, valid voxels), added to
their mean: rank 0 is the row ``train-mean``, the rank of all valid voxels is the row ``measured``.

They train a bottleneck for every decoder and size, which keeps what that decoder uses; principal
components keep what varies most.  So the scores here are a lower bound of what K dimensions can give,
and a curve that is flat here would be flatter there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import Responses, SubjectData
from ..errors import ConfigError
from ..seeds import image_seeds
from ..storage.executors import single_thread
from ..storage.identity import module_sha
from ..storage.store import Store, save_array
from .table import BOTTLENECK, Stream, averaged

NEGLIGIBLE = 1e-10
"""Components whose variance is below this share of the first one's are rounding."""

BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """Mean (V,) and orthonormal components (K, V) of training responses, by falling variance.

    Masked voxels are 0 in both.
    """

    mean: np.ndarray
    components: np.ndarray
    valid: np.ndarray

    def through(self, patterns: np.ndarray, rank: int) -> np.ndarray:
        """(n, V) float32: `patterns` (n, V) through `rank` dimensions; unchanged by as many as voxels."""
        if rank >= self.valid.sum():
            return np.asarray(patterns, np.float32)
        kept = self.components[:rank].astype(np.float64)
        out = np.empty(patterns.shape, np.float32)
        for start in range(0, len(patterns), BLOCK):
            part = np.asarray(patterns[start : start + BLOCK], np.float64) - self.mean
            out[start : start + BLOCK] = self.mean + (part @ kept.T) @ kept
        return np.where(self.valid, out, np.float32(0))


def fit_bottleneck(train: Responses, rank: int) -> Bottleneck:
    """The first `rank` components of `train`, fewer where its responses span fewer dimensions.

    Exact, through the smaller of the two moment matrices.
    """
    from scipy.linalg import eigh

    space = train.space
    patterns = train.mean()
    mean = patterns.mean(axis=0, dtype=np.float64).astype(np.float32)
    axes = np.zeros((0, space.n_valid))
    count = min(rank, len(patterns) - 1, space.n_valid)
    if count > 0:
        centred = patterns[:, space.valid].astype(np.float64)
        centred -= centred.mean(axis=0)
        few = len(centred) < space.n_valid
        moments = centred @ centred.T if few else centred.T @ centred
        size = len(moments)
        values, vectors = eigh(moments, subset_by_index=(size - count, size - 1))
        values, vectors = values[::-1], vectors[:, ::-1]
        real = values > NEGLIGIBLE * max(values[0], 1e-30)
        axes = vectors[:, real].T
        if few:
            axes = axes @ centred / np.sqrt(values[real])[:, None]
    components = np.zeros((len(axes), space.n_voxels), np.float32)
    components[:, space.valid] = axes
    return Bottleneck(np.where(space.valid, mean, np.float32(0)), components, space.valid)


def bottleneck_streams(
    data: SubjectData, ranks: Sequence[int], *, seed: int, samples: int, repeats: str, store: Store
) -> list[Stream]:
    """Streams of the rows ``measured-rank-K``, each K of `ranks` once.

    repeats : as for :func:`harness.rows.table.response_streams`.

    Raises
    ------
    ConfigError
        More dimensions than the training responses span, and fewer than all valid voxels.
    """
    ranks = sorted(set(ranks))
    if not ranks:
        return []
    voxels = data.space.n_valid
    narrow = [rank for rank in ranks if rank < voxels]
    if ranks[-1] > voxels:
        raise ConfigError(f"run.bottleneck asks for rank {ranks[-1]}; {data.subject} has {voxels} voxels")
    fitted = _kept(data.train.responses, max(narrow, default=0), store)
    if narrow and narrow[-1] > len(fitted.components):
        raise ConfigError(
            f"run.bottleneck asks for rank {narrow[-1]}; the training responses of {data.subject} span "
            f"{len(fitted.components)} dimensions of {voxels} voxels. Give up to that, or {voxels} for all"
        )
    inputs = averaged(data.test.responses, repeats)
    with single_thread():
        squeezed = {rank: _squeezed(inputs, fitted, rank) for rank in ranks}
    ids = data.test.stimuli.ids
    return [
        Stream(f"{BOTTLENECK}{rank}", -1, sample, responses, image_seeds(seed, ids, sample))
        for sample in range(samples)
        for rank, responses in squeezed.items()
    ]


def _squeezed(responses: Responses, fitted: Bottleneck, rank: int) -> Responses:
    return Responses(
        responses.space,
        responses.ids,
        fitted.through(responses.trials(), rank),
        responses.image_index,
        session=responses.session,
    )


def _kept(train: Responses, rank: int, store: Store) -> Bottleneck:
    ingredients = {
        "what": "bottleneck",
        "train": train.sha,
        "rank": rank,
        "stage": module_sha(__name__),
    }

    def make(folder: Path) -> None:
        fitted = fit_bottleneck(train, rank)
        save_array(folder, "mean", fitted.mean)
        save_array(folder, "components", fitted.components)

    made = store.get("controls", ingredients, make)
    return Bottleneck(made.array("mean"), made.array("components"), train.space.valid)
