"""Flags of ids that do not belong together: what must be identified is not, as a whole or in one block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...data import SubjectData
from ...metrics.correlations import Rows, correlations
from ...metrics.identification import two_way
from ...notices import Flag
from ...scoring.compare import mean_scored
from ...scoring.scores import ResponseScore, Score
from .scan import FALSE_ALARMS, above_chance, block_near_chance

FEWEST = 8
"""Images that tell something."""

COPIES = "small grey copies"
PATTERNS = "patterns of voxels"

Rates = list[tuple[str, np.ndarray]]
"""(metric in words, (N,) win rates) of one row by everything that can tell."""

ROWS = {
    "measured": "reconstructions from measured responses identify their stimulus at chance ({}): ids of "
    "images and responses may not belong together, or the decoder learned nothing",
    "predicted": "reconstructions from predicted responses identify their stimulus at chance ({}): ids of "
    "the predictions may be permuted, or the encoder or the decoder learned nothing",
    "reconstructions": "the given reconstructions identify their stimulus at chance ({}): their ids may be "
    "permuted, or they show nothing of the stimuli",
}
RESPONSES = (
    "predicted responses identify the measured ones at chance ({}): ids of the predictions may be permuted, "
    "or the encoder learned nothing"
)


def image_rates(
    scores: Sequence[Score], copies: Mapping[str, np.ndarray], *, doubled: np.ndarray | None = None
) -> dict[str, Rates]:
    """Row -> win rates of its images against the stimuli, by every two-way metric of the run and by `copies`.

    copies : row, or ``"stimulus"``, -> (N, h, w) small copies of its images.  doubled : (N,) equal numbers
    for stimuli of equal content (:meth:`harness.data.Stimuli.copies`).
    """
    rates: dict[str, Rates] = {}
    for row in ROWS:
        # Among look-alikes a fair decoder may well be at chance.
        pairs = [
            (score.metric.label, score.values)
            for score in scores
            if (score.images.row, score.target, score.images.sample) == (row, "stimulus", 0)
            and score.images.trial < 0
            and is_two_way(score.metric.load())
            and "kind" not in score.metric.load().gets
        ]
        if row in copies and copies[row].shape == copies["stimulus"].shape:
            sides = _flat(copies[row]), _flat(copies["stimulus"])
            pairs.append((COPIES, two_way(*sides, copies=doubled)))
        if pairs:
            rates[row] = pairs
    return rates


def response_rates(
    response_scores: Sequence[ResponseScore], data: SubjectData, predicted: np.ndarray | None
) -> Rates:
    """Win rates of predicted against measured responses, by every two-way metric and by patterns."""
    pairs = [
        (score.metric.label, score.values)
        for score in response_scores
        if score.row == "predicted" and score.unit == "image" and is_two_way(score.metric.load())
    ]
    if predicted is not None:
        sides = _patterns(predicted, data), _patterns(data.test.responses.mean(), data)
        pairs.append((PATTERNS, two_way(*sides, copies=data.test.stimuli.copies())))
    return pairs


def trial_rates(data: SubjectData, predicted: np.ndarray) -> np.ndarray:
    """(T,) share of other images' predictions that each test trial resembles less than its own image's."""
    responses = data.test.responses
    trials, patterns = _patterns(responses.trials(), data), _patterns(predicted, data)
    r = correlations(Rows.of(trials), Rows.of(patterns), dtype=np.float64)
    own = r[np.arange(len(r)), responses.image_index][:, None]
    copies = data.test.stimuli.copies()
    if copies is None:
        copies = np.arange(r.shape[1])
    rivals = copies != copies[responses.image_index][:, None]
    won = ((r < own) & rivals).sum(axis=1) + ((r == own) & rivals).sum(axis=1) / 2
    return won / np.maximum(1, rivals.sum(axis=1))


def misaligned(images: Mapping[str, Rates], responses: Rates) -> Iterator[Flag]:
    """Identification no better than chance, by every metric that can tell, where it must be better."""
    for row, rates_of_row in images.items():
        if best := _all_at_chance(rates_of_row):
            yield Flag("misaligned-ids", "alarm", ROWS[row].format(best))
    if best := _all_at_chance(responses):
        yield Flag("misaligned-ids", "alarm", RESPONSES.format(best))


def slipped_blocks(
    images: Mapping[str, Rates], data: SubjectData, predicted: np.ndarray | None
) -> Iterator[Flag]:
    """A block of consecutive test trials or images, or a session, that is at chance where the rest is not."""
    ids = data.test.stimuli.ids
    sequences = []
    if predicted is not None and len(ids) >= FEWEST:
        names, rates, sessions = _showings(data, trial_rates(data, predicted))
        what = "showings of test images, by what is predicted for them,"
        sequences.append((what, names, rates, sessions))
    for row, rates_of_row in images.items():
        label, rates = max(rates_of_row, key=lambda pair: np.nan_to_num(mean_scored(pair[1])))
        what = "given reconstructions" if row == "reconstructions" else f"{row} reconstructions"
        sequences.append((f"{what}, by {label},", ids, rates, None))
    for what, names, rates, sessions in sequences:
        block = block_near_chance(rates, sessions=sessions, scans=len(sequences))
        if block is None:
            continue
        first, last = names[block.positions[0]], names[block.positions[-1]]
        where = f"numbers {block.positions[0]} to {block.positions[-1]} from 0, {first} to {last}"
        yield Flag(
            "block-near-chance",
            "warning",
            f"{len(block.positions)} of {len(rates)} {what} are identified near chance together ({where}: "
            f"{block.mean:.3f}, the rest {block.rest:.3f}; clean data do so once in {1 / FALSE_ALARMS:.0f} "
            "runs): a list of ids may have slipped there, or a session was lost",
        )


def _showings(data: SubjectData, rates: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Image, win rate and session of the test trials, session by session in the order in which they came.

    `rates` (T,) are those of single trials.  Trials of one image in a row count as one: a hard image is hard
    each time, which makes no block.
    """
    responses = data.test.responses
    order = np.lexsort((responses.trial_number, responses.session))
    shown, session = responses.image_index[order], responses.session[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(shown) != 0) | (np.diff(session) != 0)])
    counts = np.diff(np.r_[starts, len(shown)])
    means = np.add.reduceat(rates[order], starts) / counts
    return [responses.ids[k] for k in shown[starts]], means, session[starts]


def _patterns(responses: np.ndarray, data: SubjectData) -> np.ndarray:
    """(n, U) valid voxels of `responses` (n, V) less their own mean, so that no unit or offset matters."""
    valid = responses[:, data.space.valid]
    return valid - valid.mean(axis=0, dtype=np.float64)


def is_two_way(metric: Any) -> bool:
    """Whether a metric gives win rates, of which chance is a half."""
    return bool(metric.pool and metric.chance == 0.5)


def _all_at_chance(rates: Rates) -> str:
    """The best of (metric, values) in words where none is above chance, else ``""``."""
    scored = {label: values[np.isfinite(values)] for label, values in rates}
    scored = {label: values for label, values in scored.items() if len(values) >= FEWEST}
    if not scored or any(above_chance(values.mean(), len(values)) for values in scored.values()):
        return ""
    best = max(scored, key=lambda label: scored[label].mean())
    return f"{scored[best].mean():.3f} by {best}"


def _flat(copies: np.ndarray) -> np.ndarray:
    return np.asarray(copies).reshape(len(copies), -1)
