"""Flags: what a reader must know before believing a number, computed from hashes, ids, images and scores.

One module per subject; this one says which there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...data import SubjectData
from ...notices import Flag
from ...rows.row_images import RowImages
from ...run_record import FlagRecord
from ...scoring.response_target import ceiling_of
from ...scoring.scores import ResponseScore, Score
from ...stages.data import Subset
from ..overlaps import Declared
from . import identification, images, leaks, provenance, responses, training, uncertainty

__all__ = ["Evidence", "Flag", "flag_records", "run_flags"]


@dataclass(frozen=True)
class Evidence:
    """All that flags are computed from.

    training : what the encoder was fitted on; adapted : whether it was then adapted to `data`.
    sets : the finished images of every row.  copies : row, ``"stimulus"`` or ``"training"`` -> small copies
    (N, h, w) of its images (:func:`.thumbnails.look_at`).  predicted : (N, V) mean over samples.
    voxel_r : mean voxel r of the row ``predicted``, low and high.
    wanted : the encoder's (backbone, layer) pairs.  declared : what the plugins say of themselves.
    test_sets : names of the image sets that the test images are of.  subset : what was scored of them.
    warned : what was warned of on the way.
    """

    data: SubjectData
    training: Sequence[SubjectData] = ()
    adapted: bool = False
    scores: Sequence[Score] = ()
    response_scores: Sequence[ResponseScore] = ()
    sets: Sequence[RowImages] = ()
    copies: Mapping[str, np.ndarray] = field(default_factory=dict)
    predicted: np.ndarray | None = None
    voxel_r: Sequence[float] | None = None
    wanted: Sequence[tuple[str, str]] = ()
    selection: str = "first"
    candidates: int = 1
    transductive: bool = False
    declared: Sequence[Declared] = ()
    test_sets: Sequence[str] = ()
    subset: Subset | None = None
    warned: Sequence[Flag] = ()


def run_flags(evidence: Evidence) -> list[Flag]:
    """Every flag that a run raises."""
    e, data = evidence, evidence.data
    ceiling, source = ceiling_of(data)
    doubled = data.test.stimuli.copies()
    image_rates = identification.image_rates(e.scores, e.copies, doubled=doubled)
    response_rates = identification.response_rates(e.response_scores, data, e.predicted)
    return [
        *e.warned,
        *images.missing_reconstructions(e.subset),
        *images.images_in_training(data, e.copies),
        *training.images_in_others_training(data, e.training),
        *training.several_subjects(data, e.training, adapted=e.adapted),
        *images.doubled_images(data),
        *provenance.trained_on_test_images(data, e.declared),
        *provenance.known_overlap(e.declared, e.test_sets),
        *provenance.reads_of_test_images(e.declared),
        *provenance.chosen_by_truth(e.selection, e.candidates),
        *provenance.transductive_decoder(e.transductive),
        *provenance.shared_backbones(e.wanted, e.scores, e.declared),
        *identification.misaligned(image_rates, response_rates),
        *identification.slipped_blocks(image_rates, data, e.predicted),
        *responses.other_units(data, e.predicted),
        *responses.weak_ceiling(source),
        *leaks.control_equals_measured(e.sets, e.copies, doubled=doubled),
        *leaks.above_ceiling(data, e.predicted, interval=e.voxel_r, ceiling=ceiling, source=source),
        *leaks.decoder_prior_zone(e.scores),
        *uncertainty.uncertain_intervals(e.scores, e.response_scores),
    ]


def flag_records(flags: Sequence[Flag]) -> tuple[FlagRecord, ...]:
    """Flags as ``run.json`` holds them, each once."""
    unique = {(flag.name, flag.message): flag for flag in flags}
    return tuple(FlagRecord(name=f.name, level=f.level, message=f.message) for f in unique.values())
