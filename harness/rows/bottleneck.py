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

from ..data import Responses, SubjectData
from ..errors import ConfigError
from ..seeds import image_seeds
from ..storage.cached import Item, cached_map
from ..storage.executors import Executor, single_thread
from ..storage.store import Store
from .components import Bottleneck, write_components
from .table import BOTTLENECK, Stream, averaged


def bottleneck_streams(
    data: SubjectData,
    ranks: Sequence[int],
    *,
    seed: int,
    samples: int,
    repeats: str,
    store: Store,
    executor: Executor,
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
    fitted = _kept(data, max(narrow, default=0), store, executor)
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


def _kept(data: SubjectData, rank: int, store: Store, executor: Executor) -> Bottleneck:
    train = data.train.responses
    ingredients = {"what": "bottleneck", "train": train.sha, "rank": rank}
    arguments = lambda: (executor.share(train.mean()), train.space.valid, rank)  # noqa: E731
    (artifact,) = cached_map(
        "controls", [Item(ingredients, arguments)], write_components, store=store, executor=executor
    )
    return Bottleneck(artifact.array("mean"), artifact.array("components"), train.space.valid)
