"""Controls that need no decoder, and which images each row is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from toys import ToyBenchmark

from harness.data import ImageSet, image_sha
from harness.rows.controls import constant_set, image_sets, renamed
from harness.rows.table import ROWS

DATA = ToyBenchmark(ToyBenchmark.Params(n_train=12, n_test=5, voxels=10)).load("toy01")
IDS = DATA.test.stimuli.ids


def drawn(seed: int, ids: tuple[str, ...] = IDS) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (len(ids), 4, 4, 3)).astype(np.uint8)
    return ImageSet.from_array(ids, images)


def by_row(finished: dict) -> dict:
    return {(s.row, s.trial, s.sample): s for s in image_sets(finished, DATA)}


def test_a_constant_set_is_one_image_under_every_id():
    image = drawn(0).images(IDS[:1])[0]
    constant = constant_set(IDS, image)
    assert (constant.images() == image).all()
    assert set(constant.image_hashes()) == {image_sha(image)}
    constant.images()[0][:] = 0  # what a reader gave away is the reader's no longer
    assert (constant.images() == image).all()


def test_renamed_images_may_stand_for_several_ids():
    images = drawn(1)
    again = renamed(images, np.array([2, 0, 2]), ("x", "y", "z"))
    assert again.ids == ("x", "y", "z")
    np.testing.assert_array_equal(again.images(["z", "y"]), images.images([IDS[2], IDS[0]]))
    hashes = images.image_hashes()
    assert again.image_hashes() == (hashes[2], hashes[0], hashes[2])


def test_predicted_samples_are_compared_with_the_measured_draw_of_the_same_number():
    finished = {("measured", -1, k): drawn(k) for k in (0, 1)}
    finished |= {("predicted", -1, k): drawn(5 + k) for k in (0, 1, 2)}
    rows = by_row(finished)
    for sample, measured in ((0, 0), (1, 1), (2, 0)):  # where there is no such draw, the first
        assert rows["predicted", -1, sample].measured.sha == finished["measured", -1, measured].sha
    assert rows["measured", -1, 0].measured is None


def test_another_draw_of_the_measured_row_is_no_row_and_stands_beside_the_others():
    finished = {("measured", -1, 0): drawn(0), ("predicted", -1, 0): drawn(1)}
    without = by_row(finished)["predicted", -1, 0]
    assert without.target("measured", independent=True).sha == without.target("measured").sha
    finished["measured-redrawn", -1, 0] = drawn(2)
    rows = by_row(finished)
    assert ROWS["measured"].redrawn == "measured-redrawn"
    assert ("measured-redrawn", -1, 0) not in rows
    row = rows["predicted", -1, 0]
    assert row.target("measured", independent=True).sha == finished["measured-redrawn", -1, 0].sha
    assert row.target("measured").sha == finished["measured", -1, 0].sha


def test_predictions_are_compared_with_one_half_too_and_not_scored_twice():
    finished = {(row, -1, 0): drawn(k) for k, row in enumerate(("measured", "half-1", "half-2", "predicted"))}
    rows = by_row(finished)
    half = rows["predicted-half", -1, 0]
    assert half.measured.sha == finished["half-2", -1, 0].sha
    assert half.images.sha == finished["predicted", -1, 0].sha
    assert half.target("stimulus") is None
    assert rows["half-1", -1, 0].measured.sha == finished["half-2", -1, 0].sha
    assert rows["half-2", -1, 0].measured is None


def test_targets_have_the_ids_of_the_row_in_its_order():
    some = (IDS[3], IDS[0])
    finished = {("measured", -1, 0): drawn(0), ("generator-ceiling", -1, 0): drawn(1)}
    finished["predicted", -1, 0] = drawn(2, some)
    row = by_row(finished)["predicted", -1, 0]
    assert [images.ids for images in row.all()] == [some] * len(row.all())
    np.testing.assert_array_equal(row.stimuli.images(), DATA.test.stimuli.images(some))
    np.testing.assert_array_equal(row.rendered.images(), finished["generator-ceiling", -1, 0].images(some))


@pytest.mark.parametrize("name", ["zero", "train-mean"])
def test_blind_rows_are_compared_like_others(name):
    finished = {
        ("measured", -1, 0): drawn(0),
        (name, -1, 0): constant_set(IDS, np.zeros((4, 4, 3), np.uint8)),
    }
    row = by_row(finished)[name, -1, 0]
    assert row.measured.sha == finished["measured", -1, 0].sha
    assert ROWS[name].blind
