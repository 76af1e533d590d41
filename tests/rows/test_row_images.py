"""What the images of a row are compared with, by the name of the target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.data import ImageSet, Stimuli
from harness.rows.row_images import RowImages

IDS = ("a", "b")


def images(value: int, kind: type[ImageSet] = ImageSet) -> ImageSet:
    return kind.from_array(IDS, np.full((2, 2, 2, 3), value, np.uint8))


@pytest.fixture
def row() -> RowImages:
    return RowImages("predicted", -1, 0, images(1), images(2, Stimuli), images(3), images(4), images(5))


@pytest.mark.parametrize(
    ("name", "independent", "value"),
    [("stimulus", False, 2), ("stimulus", True, 2), ("measured", False, 3), ("measured", True, 4)],
)
def test_a_target_is_what_its_name_stands_for(row, name, independent, value):
    assert (row.target(name, independent=independent).images() == value).all()


def test_images_that_another_row_has_are_scored_against_no_stimulus(row):
    again = replace(row, against_stimuli=False)
    assert again.target("stimulus") is None
    assert (again.target("measured").images() == 3).all()


def test_all_leaves_out_what_there_is_not(row):
    assert [int(part.images()[0, 0, 0, 0]) for part in row.all()] == [1, 2, 3, 4, 5]
    alone = replace(row, measured=None, redrawn=None, rendered=None)
    assert [int(part.images()[0, 0, 0, 0]) for part in alone.all()] == [1, 2]
    assert alone.target("measured") is alone.target("measured", independent=True) is None
