"""All judgements of one subject's data, in the order in which they matter."""

from __future__ import annotations

from collections.abc import Iterator

from ..data import SubjectData
from ..errors import DataError
from .alignment import judge_alignment
from .pictures import judge_pictures
from .power import judge_power
from .reliability import judge_ceilings
from .sample import Sample
from .sessions import judge_sessions
from .verdict import Judgement


def judge(data: SubjectData) -> Iterator[Judgement]:
    """Alignment, noise ceilings, pictures, sessions, power.

    Raises
    ------
    DataError
        No test split, or fewer than 2 images in a split.
    """
    if data.test is None or min(len(data.train), len(data.test)) < 2:
        raise DataError("data are judged with at least 2 training and 2 test images")
    sample = Sample.of(data)
    yield judge_alignment(data, sample)
    yield judge_ceilings(data, sample.voxels)
    yield judge_pictures(data, sample)
    yield judge_sessions(data, sample.voxels)
    yield judge_power(sample)
