"""Do ids align?  Two questions: do trials of one image agree, and do responses belong to their images.

Both by two-way identification of patterns less the mean pattern, chance .5 (Kay et al. 2008 asked the
second with a model of receptive fields; a ridge on small pictures does for this).  Responses that are
reliable and not of these images are misaligned; then the orders are tried that are known to be mixed up in
public code: sorted by id where the rows are in the order of presentation, the reverse, and a shift of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..data import Responses, Split, SubjectData
from ..metrics.identification import two_way
from ..nn.resize import resize, unit_range
from ..solvers.ridge import RidgeModel, fit_ridge
from .verdict import Judgement, Rate, Verdict

SIDE, MOST_IMAGES, MOST_VOXELS = 12, 4000, 2000
PENALTIES = tuple(10.0**k for k in range(0, 8))
_FEW = 20
"""Training images below which no penalty is chosen; it is then the number of features."""

_CLEARLY = 0.05
"""By how much another order must identify better before it is named."""


@dataclass(frozen=True)
class Sample:
    """What the judgements look at: means of images, (N, K) of up to 2,000 voxels spread over those that are
    valid, less the training mean, pictures as features (N, F) and hashes of the training images."""

    train: np.ndarray
    test: np.ndarray
    train_pictures: np.ndarray
    test_pictures: np.ndarray
    voxels: np.ndarray
    contents: tuple[str, ...]

    @classmethod
    def of(cls, data: SubjectData) -> Sample:
        """Up to 4,000 training images, evenly spread, and all test images."""
        voxels = chosen_voxels(data)
        ids = data.train.stimuli.ids
        kept = [
            ids[k] for k in np.unique(np.linspace(0, len(ids) - 1, min(len(ids), MOST_IMAGES)).astype(int))
        ]
        train = data.train if len(kept) == len(ids) else data.train.select(kept)
        train_means = train.responses.mean()[:, voxels].astype(np.float64)
        centre = train_means.mean(axis=0)
        test_means = data.test.responses.mean()[:, voxels].astype(np.float64)
        return cls(
            train_means - centre,
            test_means - centre,
            pictures_of(train),
            pictures_of(data.test),
            voxels,
            train.stimuli.image_hashes(),
        )


def chosen_voxels(data: SubjectData) -> np.ndarray:
    """(K,) up to 2,000 valid voxels, evenly spread."""
    valid = np.flatnonzero(data.space.valid)
    return valid[np.unique(np.linspace(0, len(valid) - 1, min(len(valid), MOST_VOXELS)).astype(int))]


def pictures_of(split: Split) -> np.ndarray:
    """(N, F) small pictures: colour and, of each patch, the contrast."""
    rows = []
    for _, images in split.stimuli.batches(64):
        scaled = unit_range(images)
        grey = scaled.mean(axis=-1)
        small = resize(scaled, (SIDE, SIDE), antialias=True)
        squares = resize(np.stack([grey, grey**2], axis=-1), (SIDE, SIDE), antialias=True)
        contrast = np.sqrt(np.maximum(squares[..., 1] - squares[..., 0] ** 2, 0))
        rows.append(np.concatenate([small.reshape(len(small), -1), contrast.reshape(len(small), -1)], axis=1))
    return np.concatenate(rows).astype(np.float64)


def by_another_trial(responses: Responses, voxels: np.ndarray, centre: np.ndarray) -> Rate | None:
    """One half of each image's trials identified by the other half; None without two images of two trials."""
    order = np.argsort(responses.image_index, kind="stable")
    counts = responses.counts()
    starts = np.cumsum(counts) - counts
    repeated = np.flatnonzero(counts >= 2)
    if len(repeated) < 2:
        return None
    halves = np.empty((2, len(repeated), len(voxels)))
    for row, image in enumerate(repeated):
        trials = np.sort(order[starts[image] : starts[image] + counts[image]])
        values = np.asarray(responses.data[trials], np.float64)[:, voxels] - centre
        halves[0, row], halves[1, row] = values[::2].mean(axis=0), values[1::2].mean(axis=0)
    return Rate.of(two_way(halves[0], halves[1]))


def fit_plainly(pictures: np.ndarray, responses: np.ndarray, contents: Sequence[str]) -> RidgeModel:
    """A ridge of `responses` (N, K) on `pictures` (N, F) of hashes `contents`, one penalty for all voxels."""
    few = len(pictures) < _FEW
    return fit_ridge(
        pictures,
        responses,
        ids=[str(k) for k in range(len(pictures))],
        penalties=(float(pictures.shape[1]),) if few else PENALTIES,
        shared_penalty=True,
        contents=contents,
    )


def by_ridge(
    sample: Sample, train_order: np.ndarray | None = None, test_order: np.ndarray | None = None
) -> Rate:
    """Measured test patterns identified by what a ridge on pictures predicts, with responses in another
    order."""
    train = sample.train if train_order is None else sample.train[train_order]
    test = sample.test if test_order is None else sample.test[test_order]
    model = fit_plainly(sample.train_pictures, train, sample.contents)
    return Rate.of(two_way(np.asarray(model.predict(sample.test_pictures), np.float64), test))


def known_orders(split: Split) -> Mapping[str, np.ndarray]:
    """Name -> which row of the responses would be each image's, if the rows were in that order."""
    n, ids = len(split), np.array(split.stimuli.ids)
    by_id = np.empty(n, np.int64)
    by_id[np.argsort(ids, kind="stable")] = np.arange(n)
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, split.responses.image_index, split.responses.trial_number)
    shown = np.argsort(first, kind="stable")
    by_presentation = np.empty(n, np.int64)
    by_presentation[shown] = np.arange(n)
    orders = {
        "rows sorted by id": by_id,
        "images sorted by id": np.argsort(ids, kind="stable"),
        "rows in the order of first presentation": by_presentation,
        "images in the order of first presentation": shown,
        "reversed": np.arange(n)[::-1],
        "one row too late": np.roll(np.arange(n), -1),
        "one row too early": np.roll(np.arange(n), 1),
    }
    return {name: order for name, order in orders.items() if not np.array_equal(order, np.arange(n))}


_SURE = 0.65
"""Lower bound of a ridge's identification above which no other order is tried."""


def judge_alignment(data: SubjectData, sample: Sample) -> Judgement:
    """Whether responses belong to the images that their ids name."""
    centre = data.train.responses.mean()[:, sample.voxels].mean(axis=0, dtype=np.float64)
    repeats = by_another_trial(data.test.responses, sample.voxels, centre)
    where = "test"
    if repeats is None:
        repeats, where = by_another_trial(data.train.responses, sample.voxels, centre), "training"
    as_given = by_ridge(sample)
    figures = [
        (
            f"two-way, one trial by another of the {where} image",
            "no image has two trials" if repeats is None else str(repeats),
        ),
        ("two-way, by a ridge on small pictures", str(as_given)),
    ]
    better = [] if as_given.low > _SURE else _better_orders(data, sample, as_given)
    figures += [(f"with {name}", str(rate)) for name, rate in better]
    if better:
        name, _ = better[0]
        sentence = (
            f"a ridge tells the images apart as they are named worse than with {name}: ids are mixed up"
        )
        return Judgement(
            "alignment", Verdict.ALARM, sentence, tuple(figures), "put responses and ids into one order"
        )
    if as_given.above_chance:
        sentence = "responses belong to the images that their ids name"
        return Judgement("alignment", Verdict.GOOD, sentence, tuple(figures))
    if repeats is not None and repeats.above_chance:
        sentence = (
            "trials of one image agree, and a ridge cannot tell which image it was: ids may be mixed up"
        )
        advice = (
            "see which image each trial showed; a small test set or higher areas alone can look like "
            "this, too"
        )
        return Judgement("alignment", Verdict.ALARM, sentence, tuple(figures), advice)
    if repeats is not None:
        sentence = (
            "neither trials of one image agree nor does a ridge tell images apart: no signal, or mixed-up ids"
        )
        advice = "look at noise ceilings, the mask, and the table of trials"
        return Judgement("alignment", Verdict.ALARM, sentence, tuple(figures), advice)
    sentence = (
        "a ridge cannot tell which image it was, and no image has two trials to tell whether there is signal"
    )
    return Judgement("alignment", Verdict.UNKNOWN, sentence, tuple(figures))


def _better_orders(data: SubjectData, sample: Sample, as_given: Rate) -> list[tuple[str, Rate]]:
    if len(sample.train) != len(data.train):
        return []
    train, test = known_orders(data.train), known_orders(data.test)
    tried = [(f"the test set's {name}", None, order) for name, order in test.items()]
    tried += [(f"both splits' {name}", order, test.get(name)) for name, order in train.items()]
    rates = []
    for name, train_order, test_order in tried:
        rate = by_ridge(sample, train_order, test_order)
        if rate.above_chance and rate.mean > as_given.mean + _CLEARLY:
            rates.append((name, rate))
    return sorted(rates, key=lambda pair: -pair[1].mean)
