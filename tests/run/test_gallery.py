"""Images of a report: chosen by a rule that is printed, packed to the same bytes again."""

from __future__ import annotations

import io

import numpy as np
import pytest

from harness.data import ImageSet
from harness.run.gallery import SHOWN, SIZE, choose_ids, pack

IDS = tuple(f"image-{k:02d}" for k in range(40))


def test_few_images_are_all_shown():
    assert choose_ids(IDS[:SHOWN], np.zeros(SHOWN), label="ssim") == (IDS[:SHOWN], "all 16 test images")


def test_best_middle_and_worst_come_in_that_order_then_others():
    values = np.random.default_rng(0).permutation(40).astype(float)
    chosen, rule = choose_ids(IDS, values, label="ssim of the row 'predicted'")
    ranks = [int(39 - values[IDS.index(name)]) for name in chosen]
    assert ranks[:4] == [0, 1, 2, 3]
    assert ranks[4:8] == [18, 19, 20, 21]
    assert ranks[8:12] == [36, 37, 38, 39]
    assert len(set(chosen)) == len(chosen) == SHOWN
    assert "4 best, 4 middle and 4 worst of 40 test images by ssim of the row 'predicted'" in rule


def test_images_without_a_score_count_as_worst():
    values = np.arange(40.0)
    values[:2] = np.nan
    chosen, _ = choose_ids(IDS, values, label="ssim")
    assert set(chosen[8:12]) == {IDS[k] for k in (0, 1, 2, 3)}
    assert chosen[0] == IDS[39]


@pytest.mark.parametrize("values", [None, np.full(40, np.nan)])
def test_without_scores_the_choice_hangs_on_ids_alone(values):
    chosen, rule = choose_ids(IDS, values, label="")
    assert len(set(chosen)) == SHOWN
    assert rule == "16 of 40 test images by the hash of their id"
    assert set(choose_ids(IDS[::-1], values, label="")[0]) == set(chosen)


def test_images_whose_reconstructions_are_least_alike_are_shown_besides():
    generator = np.random.default_rng(0)
    values, agreement = generator.permutation(40).astype(float), generator.permutation(40).astype(float)
    agreement[3] = np.nan
    before, _ = choose_ids(IDS, values, label="ssim")
    chosen, rule = choose_ids(IDS, values, label="ssim", agreement=agreement, agreement_label="agreement")
    least = {IDS[k] for k in np.argsort(agreement)[:4]}
    assert chosen[:SHOWN] == before
    assert set(chosen) == set(before) | least
    assert len(set(chosen)) == len(chosen)
    assert rule.endswith("and the 4 of least agreement")
    few, rule = choose_ids(IDS[:3], values[:3], label="ssim", agreement=agreement[:3], agreement_label="x")
    assert (few, rule) == (IDS[:3], "all 3 test images")


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


def test_large_images_are_reduced_and_small_ones_kept():
    noise = np.random.default_rng(1)
    small = noise.integers(0, 256, (2, 8, 6, 3)).astype(np.uint8)
    large = noise.random((2, 300, 600, 3), np.float32)
    arrays = unpacked(
        pack(
            IDS[:2],
            {"small": ImageSet.from_array(IDS[:2], small), "large": ImageSet.from_array(IDS[:2], large)},
        )
    )
    assert arrays["ids"].tolist() == list(IDS[:2])
    np.testing.assert_array_equal(arrays["small"], small)
    assert arrays["large"].shape == (2, SIZE // 2, SIZE, 3)
    assert arrays["large"].dtype == np.uint8
    assert abs(arrays["large"].mean() - 127.5) < 2


def test_rows_without_all_the_images_are_left_out_and_bytes_are_the_same_again():
    images = np.random.default_rng(2).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    sets = {
        "stimulus": ImageSet.from_array(IDS[:3], images),
        "part": ImageSet.from_array(IDS[:1], images[:1]),
    }
    content = pack(IDS[1:3], sets)
    assert set(unpacked(content)) == {"ids", "stimulus"}
    np.testing.assert_array_equal(unpacked(content)["stimulus"], images[1:])
    assert pack(IDS[1:3], sets) == content
