"""The rows of a table: what was decoded, or what stands beside it as a control.

A score means nothing without the rows that could have had it for free, so every control that
applies is on by default and none is shown alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data import Responses, SubjectData
from ..seeds import image_seeds


@dataclass(frozen=True)
class Row:
    """A row's name, how people read it, and what it is."""

    name: str
    label: str
    note: str


BELOW = "; never with their own, which wins as a rival: 2-way of N from (N - 2) / (2 N - 2) to 0.5"
"""Two-way score of a derangement: the own stimulus beats the assigned one where reconstructions are good, and
the other N - 2 rivals half the time; 0.4545 for 12 images."""

ROWS = {
    row.name: row
    for row in (
        Row("measured", "measured fMRI", "all repeats of each test image, decoded"),
        Row("predicted", "predicted fMRI", "the encoder's responses, adapted and decoded"),
        Row("reconstructions", "given images", "images made elsewhere, matched by id"),
        Row("measured-trial", "measured, single trials", "each trial decoded alone"),
        Row(
            "remeasured",
            "measured again (reliability)",
            "as many fresh trials of each test image, decoded: noise on both sides, so no ceiling",
        ),
        Row("half-1", "measured, odd repeats", "every other repeat of each test image, decoded"),
        Row("half-2", "measured, even repeats", "the remaining repeats, decoded"),
        Row(
            "predicted-half",
            "predicted, against even repeats",
            "the predicted row's images, compared with the half that the odd repeats are compared with",
        ),
        Row("oracle", "noise-free truth", "the simulation's responses without noise, decoded"),
        Row("generator-ceiling", "generator ceiling", "the decoder's generator given the true embedding"),
        Row("zero", "zero fMRI", "a response of 0 in every voxel, decoded"),
        Row("train-mean", "mean training fMRI", "the mean training response, decoded"),
        Row(
            "shuffled",
            "predicted, shuffled",
            "the predicted row's images re-paired with other stimuli" + BELOW,
        ),
        Row("shuffled-measured", "measured, shuffled", "the measured row's images re-paired" + BELOW),
        Row("shuffled-reconstructions", "given images, shuffled", "the given images re-paired" + BELOW),
        Row("nearest-train", "nearest training image", "by correlation with the predicted response"),
        Row("nearest-train-measured", "nearest training image (measured)", "by the measured response"),
        Row("cheat-inverse", "inverse of the decoder", "what decodes to the stimulus, made without a brain"),
        Row("cheat-pixels", "ridge on pixels", "predicted from the stimuli reduced to 8 x 8 pixels"),
        Row("mean-image", "mean training image", "the same image every time"),
        Row("flat-grey", "flat grey", "a constant image"),
    )
}

STIMULUS = Row("stimulus", "the stimuli themselves", "each test image, as if it were a reconstruction")
"""What distances to the training images, and responses predicted for reconstructions, are read by; scored
for nothing else."""

AGAINST_HALF = {"predicted": "predicted-half"}
"""Row -> its name where its images are compared with ``half-2``.

Agreement grows with the trials behind the measured side, so what is divided by the agreement of one half
with the other has to be compared with that same half."""

CHEATS = ("cheat-inverse", "cheat-pixels")
"""Rows of encoders that cheat (:mod:`harness.stages.cheats`), on request."""

BOTTLENECK = "measured-rank-"
"""First part of the names of rows that pass through a bottleneck (:mod:`harness.rows.bottleneck`)."""


def reference_row(name: str) -> str:
    """The row that agreement with measured responses is scored against, or ``""``.

    Rows whose reconstructions share trials with the measured row have none.
    """
    if name in ("measured", "measured-trial", "half-2") or name.startswith(BOTTLENECK):
        return ""
    return "half-2" if name == "half-1" else "measured"


def row_named(name: str) -> Row:
    """The row called `name`, those with a number in their name included."""
    if name.startswith(BOTTLENECK):
        rank = name.removeprefix(BOTTLENECK)
        note = "all repeats, through that many principal components of the training responses, decoded"
        return Row(name, f"measured, rank {rank}", note)
    return STIMULUS if name == STIMULUS.name else ROWS[name]


SHUFFLED = {
    "predicted": "shuffled",
    "measured": "shuffled-measured",
    "reconstructions": "shuffled-reconstructions",
}
"""Row -> the control made of its own re-paired images; a blurry row has a higher floor than a sharp one."""

REDRAWN = {"measured": "measured-redrawn", "half-2": "half-2-redrawn"}
"""What others are compared with -> the same responses decoded with other noise, which is no row of a table.
Two reconstructions of one image and sample share the decoder's noise: no agreement about the brain."""

NEAREST = {"predicted": "nearest-train", "measured": "nearest-train-measured"}
"""Row -> the control made from its own inputs without any decoder."""


@dataclass(frozen=True)
class Stream:
    """One input per test image: what a decoder gets for one trial and sample of a row.

    trial : -1 for all repeats, else the trial's number among the image's repeats.
    seeds : (N,) uint64, the same for every row of one sample.
    """

    row: str
    trial: int
    sample: int
    responses: Responses
    seeds: np.ndarray

    @property
    def name(self) -> str:
        trial = "" if self.trial < 0 else f" trial {self.trial}"
        return f"{self.row}{trial} sample {self.sample}"


def response_streams(
    data: SubjectData, *, seed: int, samples: int, repeats: str, trial_rows: bool, redrawn: bool = False
) -> list[Stream]:
    """Streams of every row that needs no encoder.

    repeats : ``"inputs"`` averages an image's trials before decoding, ``"outputs"`` hands over all.
    redrawn : also those of :data:`REDRAWN`.
    """
    ids, measured, space = data.test.stimuli.ids, data.test.responses, data.space

    constant = {
        "zero": np.zeros(space.n_voxels, np.float32),
        "train-mean": data.train.responses.mean().mean(axis=0, dtype=np.float64).astype(np.float32),
    }
    inputs = {"measured": averaged(measured, repeats)}
    inputs |= {
        name: Responses.single(space, ids, np.tile(row, (len(ids), 1))) for name, row in constant.items()
    }
    if data.truth is not None:
        inputs["oracle"] = data.truth
    if data.remeasured is not None:
        inputs["remeasured"] = averaged(data.remeasured, repeats)
    elif measured.counts().min() >= 2:
        inputs |= {f"half-{half + 1}": averaged(_half(measured, half), repeats) for half in (0, 1)}
    streams = [
        Stream(row, -1, sample, responses, image_seeds(seed, ids, sample))
        for sample in range(samples)
        for row, responses in inputs.items()
    ]
    if redrawn:
        streams += [
            Stream(again, -1, sample, inputs[row], image_seeds(seed, ids, sample, draw=1))
            for sample in range(samples)
            for row, again in REDRAWN.items()
            if row in inputs
        ]
    if trial_rows:
        streams += [
            Stream("measured-trial", trial, 0, single, image_seeds(seed, single.ids, 0))
            for trial, single in enumerate(_single_trials(measured))
        ]
    return streams


def averaged(responses: Responses, repeats: str) -> Responses:
    """One mean pattern per image where a decoder wants ``"inputs"`` averaged, else every trial."""
    return (
        Responses.single(responses.space, responses.ids, responses.mean())
        if repeats == "inputs"
        else responses
    )


def _half(responses: Responses, half: int) -> Responses:
    """Every other trial of each image, so that both halves spread over the sessions."""
    return _chosen(responses, _rank(responses) % 2 == half)


def _single_trials(responses: Responses) -> list[Responses]:
    """The k-th trial of every image that has one, for each k."""
    rank = _rank(responses)
    return [_chosen(responses, rank == k) for k in range(int(responses.counts().max()))]


def _rank(responses: Responses) -> np.ndarray:
    """(T,) number of each trial among the repeats of its image."""
    order = np.argsort(responses.image_index, kind="stable")
    starts = np.repeat(np.cumsum(responses.counts()) - responses.counts(), responses.counts())
    rank = np.empty(responses.n_trials, np.int64)
    rank[order] = np.arange(responses.n_trials) - starts
    return rank


def _chosen(responses: Responses, keep: np.ndarray) -> Responses:
    at = np.flatnonzero(keep)
    images = np.unique(responses.image_index[at])
    index = np.searchsorted(images, responses.image_index[at])
    ids = [responses.ids[k] for k in images]
    data = np.asarray(responses.data[at], np.float32)
    return Responses(responses.space, ids, data, index, session=responses.session[at])
