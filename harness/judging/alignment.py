"""Do ids align?  Two questions: do trials of one image agree, and do responses belong to their images.

Both by two-way identification of patterns less the mean pattern, chance .5 (Kay et al. 2008 asked the
second with a model of receptive fields; a ridge on small pictures does for this).  Responses that are
reliable and not of these images are misaligned; then the orders are tried that are known to be mixed up in
public code: sorted by id where the rows are in the order of presentation, the reverse, and a shift of a row.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..data import Responses, Split, SubjectData
from ..metrics.identification import two_way
from .sample import Sample, fit_plainly, trials_at
from .verdict import Judgement, Rate, Verdict

_CLEARLY = 0.05
"""By how much another order must identify better before it is named."""


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
        values = trials_at(responses, np.sort(order[starts[image] : starts[image] + counts[image]]), voxels)
        halves[0, row], halves[1, row] = values[::2].mean(axis=0), values[1::2].mean(axis=0)
    return Rate.of(two_way(halves[0] - centre, halves[1] - centre))


def predicted(sample: Sample, train: np.ndarray | None = None) -> np.ndarray:
    """(N, K) what a ridge on pictures predicts for the test images, fitted on the sample's responses, or on
    others `train` of the same images and voxels."""
    train = sample.train if train is None else train
    model = fit_plainly(sample.train_pictures, train, sample.contents)
    return np.asarray(model.predict(sample.test_pictures), np.float64)


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


_FEWEST = 8
"""Test images below which no interval tells identification from chance."""

_SURE = 0.65
"""Lower bound of a ridge's identification above which no other order is tried."""


def judge_alignment(data: SubjectData, sample: Sample) -> Judgement:
    """Whether responses belong to the images that their ids name."""
    repeats = by_another_trial(data.test.responses, sample.voxels, sample.centre)
    where = "test"
    if repeats is None:
        repeats, where = by_another_trial(data.train.responses, sample.voxels, sample.centre), "training"
    by_pictures = predicted(sample)
    as_given = Rate.of(two_way(by_pictures, sample.test))
    figures = [
        (
            f"two-way, one trial by another of the {where} image",
            "no image has two trials" if repeats is None else str(repeats),
        ),
        ("two-way, by a ridge on small pictures", str(as_given)),
    ]
    if len(sample.test) < _FEWEST and not as_given.above_chance:
        sentence = f"{len(sample.test)} test images are too few to tell whether ids align"
        return Judgement("alignment", Verdict.UNKNOWN, sentence, tuple(figures))
    better = [] if as_given.low > _SURE else _better_orders(data, sample, by_pictures, as_given)
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


def _better_orders(
    data: SubjectData, sample: Sample, by_pictures: np.ndarray, as_given: Rate
) -> list[tuple[str, Rate]]:
    """Orders under which measured test patterns are identified clearly better, the best first."""
    test = known_orders(data.test)
    tried = {f"the test set's {name}": (by_pictures, order) for name, order in test.items()}
    means = data.train.responses.mean()[:, sample.voxels] - sample.centre  # of all: an order mixes them all
    tried |= {
        f"both splits' {name}": (
            predicted(sample, means[order[sample.kept]]),
            test.get(name, np.arange(len(sample.test))),
        )
        for name, order in known_orders(data.train).items()
    }
    rates = [
        (name, Rate.of(two_way(patterns, sample.test[order]))) for name, (patterns, order) in tried.items()
    ]
    better = [
        (name, rate) for name, rate in rates if rate.above_chance and rate.mean > as_given.mean + _CLEARLY
    ]
    return sorted(better, key=lambda pair: -pair[1].mean)
