"""The rows of a table: what was decoded, or what stands beside it as a control.

A score means nothing without the rows that could have had it for free, so every control that
applies is on by default and none is shown alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..data import Responses, SubjectData
from ..seeds import image_seeds


@dataclass(frozen=True)
class Row:
    """All that is to be known of a row before it is computed.

    label, note : how people read it.
    group : ``compared``, ``reference``, ``control``, ``bottleneck`` or ``lesion``; reports show rows by it.
    shuffled : the control made of its own re-paired images; a blurry row has a higher floor than a sharp one.
    nearest : the control made from its own inputs without any decoder.
    redrawn : the same responses decoded with other noise, which is no row of a table.  Two reconstructions of
        one image and sample share the decoder's noise: no agreement about the brain.
    reference : the row that agreement with measured responses is scored against; none for rows whose
        reconstructions share trials with the measured one.
    against_half : its name where its images are compared with ``half-2``.  Agreement grows with the trials
        behind the measured side, so what is divided by the agreement of one half with the other has to be
        compared with that same half.
    blind : its input is the same for every image.
    intact, lesion, area : of a lesion (:mod:`harness.rows.lesions`), the row that it is one of, which of
        :data:`LESIONS`, and where.
    """

    name: str
    label: str
    note: str
    group: str
    shuffled: str = ""
    nearest: str = ""
    redrawn: str = ""
    reference: str = "measured"
    against_half: str = ""
    blind: bool = False
    intact: str = ""
    lesion: str = ""
    area: str = ""


BELOW = "; never with their own, which wins as a rival: 2-way of N from (N - 2) / (2 N - 2) to 0.5"
"""Two-way score of a derangement: the own stimulus beats the assigned one where reconstructions are good, and
the other N - 2 rivals half the time; 0.4545 for 12 images."""

STIMULUS = Row(
    "stimulus", "the stimuli themselves", "each test image, as if it were a reconstruction", "reference"
)
"""What distances to the training images, and responses predicted for reconstructions, are read by; scored
for nothing else."""

ROWS = {
    row.name: row
    for row in (
        Row(
            "measured",
            "measured fMRI",
            "all repeats of each test image, decoded",
            "compared",
            shuffled="shuffled-measured",
            nearest="nearest-train-measured",
            redrawn="measured-redrawn",
            reference="",
        ),
        Row(
            "predicted",
            "predicted fMRI",
            "the encoder's responses, adapted and decoded",
            "compared",
            shuffled="shuffled",
            nearest="nearest-train",
            against_half="predicted-half",
        ),
        Row(
            "reconstructions",
            "given images",
            "images made elsewhere, matched by id",
            "compared",
            shuffled="shuffled-reconstructions",
        ),
        Row(
            "captions",
            "given captions",
            "captions made elsewhere, matched by id",
            "compared",
            shuffled="shuffled-captions",
        ),
        Row(
            "measured-trial", "measured, single trials", "each trial decoded alone", "compared", reference=""
        ),
        Row("oracle", "noise-free truth", "the simulation's responses without noise, decoded", "reference"),
        Row(
            "remeasured",
            "measured again (reliability)",
            "as many fresh trials of each test image, decoded: noise on both sides, so no ceiling",
            "reference",
        ),
        Row(
            "half-1",
            "measured, odd repeats",
            "every other repeat of each test image, decoded",
            "reference",
            reference="half-2",
        ),
        Row(
            "half-2",
            "measured, even repeats",
            "the remaining repeats, decoded",
            "reference",
            redrawn="half-2-redrawn",
            reference="",
        ),
        Row(
            "predicted-half",
            "predicted, against even repeats",
            "the predicted row's images, compared with the half that the odd repeats are compared with",
            "reference",
        ),
        Row(
            "generator-ceiling",
            "generator ceiling",
            "the decoder's generator given the true embedding",
            "reference",
        ),
        Row(
            "code-ceiling",
            "code ceiling",
            "the true images through the decoder's own codes and back: what none of its pictures exceeds",
            "reference",
        ),
        Row(
            "human-caption",
            "another human caption",
            "the first reference of each image, against its others",
            "reference",
        ),
        Row(
            "shuffled",
            "predicted, shuffled",
            "the predicted row's images re-paired with other stimuli" + BELOW,
            "control",
        ),
        Row(
            "shuffled-measured",
            "measured, shuffled",
            "the measured row's images re-paired" + BELOW,
            "control",
        ),
        Row(
            "shuffled-reconstructions",
            "given images, shuffled",
            "the given images re-paired" + BELOW,
            "control",
        ),
        Row(
            "shuffled-captions",
            "given captions, shuffled",
            "the given captions re-paired with other stimuli",
            "control",
        ),
        Row(
            "constant-caption",
            "best constant sentence",
            "one sentence for all, chosen on the other half of the images",
            "control",
        ),
        Row("zero", "zero fMRI", "a response of 0 in every voxel, decoded", "control", blind=True),
        Row("train-mean", "mean training fMRI", "the mean training response, decoded", "control", blind=True),
        Row(
            "cheat-inverse",
            "inverse of the decoder",
            "what decodes to the stimulus, made without a brain",
            "control",
        ),
        Row(
            "cheat-inverse-plain",
            "inverse of the decoder, plain",
            "the same without a penalty: it fits the decoder and nothing else",
            "control",
        ),
        Row(
            "cheat-pixels", "ridge on pixels", "predicted from the stimuli reduced to 8 x 8 pixels", "control"
        ),
        Row(
            "nearest-train", "nearest training image", "by correlation with the predicted response", "control"
        ),
        Row(
            "nearest-train-measured",
            "nearest training image (measured)",
            "by the measured response",
            "control",
        ),
        Row("mean-image", "mean training image", "the same image every time", "control"),
        Row("flat-grey", "flat grey", "a constant image", "control"),
    )
}
"""Every row but those with a number in their name, in the order in which they are shown."""

CHEATS = ("cheat-inverse", "cheat-inverse-plain", "cheat-pixels")
"""Rows of encoders that cheat (:mod:`harness.stages.cheats`), on request."""

BOTTLENECK = "measured-rank-"
"""First part of the names of rows that pass through a bottleneck (:mod:`harness.rows.bottleneck`)."""


LESIONS: Mapping[str, tuple[str, str]] = {
    "keep": ("{}, only {}", "every voxel outside {} at its mean training response, decoded"),
    "drop": ("{}, without {}", "every voxel of {} at its mean training response, decoded"),
    "shuffle": ("{}, {} shuffled", "the voxels of {} from another test image, decoded"),
}
"""What is done to an area (:mod:`harness.rows.lesions`) -> label, of row and area, and note, of the area."""

_LESION = re.compile(rf"(measured|predicted)-({'|'.join(LESIONS)})-(.+)", re.DOTALL)


def lesion_row(intact: str, lesion: str, area: str) -> str:
    """Name of the row of `intact` with `lesion` (of :data:`LESIONS`) in `area`."""
    return f"{intact}-{lesion}-{area}"


def is_lesion(row: str) -> bool:
    """Whether the row called `row` is a lesion of another."""
    return row not in ROWS and _LESION.fullmatch(row) is not None


def row_named(name: str) -> Row:
    """The row called `name`, those with a number or an area in their name included.

    Raises
    ------
    KeyError
        There is none.
    """
    if name.startswith(BOTTLENECK):
        rank = name.removeprefix(BOTTLENECK)
        note = "all repeats, through that many principal components of the training responses, decoded"
        return Row(name, f"measured, rank {rank}", note, "bottleneck", reference="")
    if is_lesion(name):
        intact, lesion, area = _LESION.fullmatch(name).groups()
        label, note = LESIONS[lesion]
        # Agreement with measured reconstructions, of which those of lesioned measured responses are made.
        reference = ROWS[intact].reference
        return Row(
            *(name, label.format(intact, area), note.format(area), "lesion"),
            **{"reference": reference, "intact": intact, "lesion": lesion, "area": area},
        )
    return STIMULUS if name == STIMULUS.name else ROWS[name]


def in_order(names: Iterable[str]) -> list[Row]:
    """The rows called `names`, each once, in the order of reports; bottlenecks by falling rank, lesions as
    they come."""
    order = {name: place for place, name in enumerate((STIMULUS.name, *ROWS))}

    def place(row: Row) -> tuple[int, int]:
        if row.group == "bottleneck":
            return len(order), -int(row.name.removeprefix(BOTTLENECK))
        if row.group == "lesion":
            return len(order) + 1 + order[row.intact], 0
        return order[row.name], 0

    return sorted((row_named(name) for name in dict.fromkeys(names)), key=place)


def shuffled_row(name: str) -> str | None:
    """The control made of the re-paired images of the row `name`, if there is one."""
    row = ROWS.get(name)
    return row.shuffled or None if row else None


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
    redrawn : also those of :attr:`Row.redrawn`.
    """
    ids, measured, space = data.test.stimuli.ids, data.test.responses, data.space

    constant = {
        "zero": np.zeros(space.n_voxels, np.float32),
        "train-mean": training_mean(data),
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
            Stream(row.redrawn, -1, sample, inputs[row.name], image_seeds(seed, ids, sample, draw=1))
            for sample in range(samples)
            for row in ROWS.values()
            if row.redrawn and row.name in inputs
        ]
    if trial_rows:
        streams += [
            Stream("measured-trial", trial, 0, single, image_seeds(seed, single.ids, 0))
            for trial, single in enumerate(_single_trials(measured))
        ]
    return streams


def training_mean(data: SubjectData) -> np.ndarray:
    """(V,) float32 mean training response, images weighted equally."""
    return data.train.responses.mean().mean(axis=0, dtype=np.float64).astype(np.float32)


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
