"""Rows of lesions: the same decoder, with one area's voxels kept, dropped or shuffled.

Which area carried a score?  The decoder stays as it was fitted and gets, from measured and from predicted
responses alike,

* ``keep``: the area's voxels as they are, every other voxel at its mean training response;
* ``drop``: the area's voxels at their mean training response, every other voxel as it is;
* ``shuffle``: the area's voxels of another test image, every other voxel as it is.

The mean training response is what the row ``train-mean`` decodes everywhere: between it and the intact row
lies all that responses can carry.  A dropped area is unlike anything that the decoder was fitted on, a
shuffled one is not, but tells it something wrong; an area that carries a score shows in all three.  Where
areas are redundant, each can be dropped for nothing though each alone would do: read ``keep`` beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data import Responses, SubjectData, VoxelSpace
from ..errors import ConfigError, suggest
from ..seeds import cyclic_order, image_seeds
from .table import LESIONS, Stream, averaged, lesion_row, training_mean

GROUPS, ROIS = "groups", "rois"
"""What stands for all cortical groups, or all ROIs, of a subject."""


@dataclass(frozen=True)
class Lesions:
    """What the lesions of a subject's responses are made of.

    areas : name -> (V,) bool.  mean : (V,) float32 mean training response.  donors : (N,) the test image from
    which each gets a shuffled area; never itself, nor one of equal content.
    """

    areas: dict[str, np.ndarray]
    mean: np.ndarray
    donors: np.ndarray

    @classmethod
    def of(cls, data: SubjectData, asked: Sequence[str]) -> Lesions | None:
        """None where nothing is asked for.

        asked : names of ROIs or cortical groups, :data:`GROUPS` or :data:`ROIS`.

        Raises
        ------
        ConfigError
            A name that the subject's voxels do not have, an area of none or of all of them, or too few
            different test images to shuffle.
        """
        if not asked:
            return None
        return cls(lesioned_areas(data.space, asked), training_mean(data), _donors(data))

    def streams(self, intact: Stream) -> list[Stream]:
        """The lesions of the row of `intact`, of the same seeds."""
        streams = []
        for area, members in self.areas.items():
            for kind in LESIONS:
                responses = self.applied(intact.responses, members, kind)
                row = lesion_row(intact.row, kind, area)
                streams.append(Stream(row, intact.trial, intact.sample, responses, intact.seeds))
        return streams

    def applied(self, responses: Responses, members: np.ndarray, kind: str) -> Responses:
        """`responses` with the lesion `kind` of the voxels `members` (V,) bool."""
        trials = responses.trials()
        if kind == "keep":
            other = np.where(members, trials, self.mean)
        elif kind == "drop":
            other = np.where(members, self.mean, trials)
        else:
            other = np.where(members, trials[self._given(responses)], trials)
        return Responses(
            *(responses.space, responses.ids, other.astype(np.float32), responses.image_index),
            session=responses.session,
        )

    def _given(self, responses: Responses) -> np.ndarray:
        """(T,) the trial that gives each trial its shuffled area: the donor's k-th for an image's k-th, from
        the start again where it has fewer."""
        order = np.argsort(responses.image_index, kind="stable")
        counts = responses.counts()
        starts = np.cumsum(counts) - counts
        given = np.empty(responses.n_trials, np.int64)
        for image, donor in enumerate(self.donors):
            own = order[starts[image] : starts[image] + counts[image]]
            given[own] = order[starts[donor] + np.arange(len(own)) % counts[donor]]
        return given


def lesion_streams(
    data: SubjectData, lesions: Lesions | None, *, seed: int, samples: int, repeats: str
) -> list[Stream]:
    """Streams of the lesions of the measured row.

    repeats : as for :func:`harness.rows.table.response_streams`.
    """
    if lesions is None:
        return []
    ids, measured = data.test.stimuli.ids, averaged(data.test.responses, repeats)
    intact = [Stream("measured", -1, k, measured, image_seeds(seed, ids, k)) for k in range(samples)]
    return [stream for row in intact for stream in lesions.streams(row)]


def lesioned_areas(space: VoxelSpace, asked: Sequence[str]) -> dict[str, np.ndarray]:
    """Name -> (V,) bool of each area that `asked` names, in that order.

    Raises
    ------
    ConfigError
        As for :meth:`Lesions.of`.
    """
    tables = {GROUPS: space.groups, ROIS: space.rois}
    named = {**space.rois, **space.groups}
    areas: dict[str, np.ndarray] = {}
    for name in asked:
        if name in tables:
            parts = {n: m for n, m in tables[name].items() if _share(space, m) not in (0.0, 1.0)}
            if not parts:
                raise ConfigError(
                    f"run.lesions: {space.subject} has no {name} that are a part of its voxels; "
                    f"name areas of it: {', '.join(named) or 'it has none'}"
                )
            areas |= parts
        elif name not in named:
            raise ConfigError(f"run.lesions: {suggest(name, [*tables, *named], what='area')}")
        elif _share(space, named[name]) in (0.0, 1.0):
            which = "all" if _share(space, named[name]) else "none"
            raise ConfigError(f"run.lesions: '{name}' is {which} of the voxels; leave it out")
        else:
            areas[name] = named[name]
    return areas


def _share(space: VoxelSpace, members: np.ndarray) -> float:
    return float(members[space.valid].mean())


def _donors(data: SubjectData) -> np.ndarray:
    stimuli = data.test.stimuli
    copies = stimuli.copies()
    order = cyclic_order(stimuli.ids, copies)
    turn = 1 if copies is None else int(np.bincount(copies).max())
    if 2 * turn > len(order):
        raise ConfigError(
            f"run.lesions: of {len(order)} test images {turn} are the same picture, so that no area can be "
            "shuffled between different ones; leave --lesions out"
        )
    donors = np.empty(len(order), np.int64)
    donors[order] = np.roll(order, -turn)
    return donors
