"""Seeds of images and samples, and subsets that are nested."""

from __future__ import annotations

from harness.seeds import cyclic_order, image_seeds, sample_seeds, subset


def test_seeds_depend_on_the_image_alone():
    ids = [f"im{k}" for k in range(20)]
    seeds = dict(zip(ids, image_seeds(7, ids, 0)))
    shuffled = ids[::-1]
    assert [seeds[i] for i in shuffled] == image_seeds(7, shuffled, 0).tolist()
    assert len(set(sample_seeds(7, ids, 3).ravel().tolist())) == 60
    assert (image_seeds(8, ids, 0) != image_seeds(7, ids, 0)).all()


def test_subsets_are_nested_and_keep_order():
    ids = [f"im{k:03d}" for k in range(100)]
    small, large = subset(ids, 8), subset(ids, 30)
    assert set(small) < set(large)
    assert list(large) == sorted(large)
    assert small != tuple(ids[:8])
    assert cyclic_order(ids).tolist() == cyclic_order(ids).tolist()
