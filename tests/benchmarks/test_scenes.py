"""Scenes: byte identity, balance, captions, occlusion."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness.benchmarks.scenes as scenes_package
from harness.benchmarks.scenes import (
    BACKGROUNDS,
    CATEGORIES,
    COLORS,
    SIZES,
    Scene,
    SceneObject,
    describe,
    draw,
    draw_scene,
)
from harness.benchmarks.scenes.drawing import _RGB
from harness.benchmarks.scenes.shapes import shade_map
from harness.benchmarks.words import Draws, normals, uniforms, words

PINNED = {
    ("test", 0): "672bdb79a7e664f6c96b42a5b783bee2161a92d862a736bbd1c5b634c1f8d717",
    ("test", 999): "7e991de84f26352a2e1260374354abdbcb8e639e374438040e7f82aa7a06a102",
    ("train", 42): "407ba07b1cdf04c8ed762166e56e2800641350865cc8d470aed74e9387ba1f30",
    ("train", 38999): "673f449abb53eeca204a52189011fd59d86220cb1ae68d2c7ab6547eb7e3f12c",
    ("reference", 7): "12fa1a888f5b143474f8c2c95559da6d88b701a6aa8682e9c8747e21a96a1d12",
}
PINNED_ALL = "69511a9f37877b3b4bc172b986c0e97b593cec5e3079afb5aa936e0cb7cf6b99"


@pytest.fixture(scope="module")
def many() -> list[Scene]:
    return describe("test", range(300))


@pytest.mark.parametrize(("namespace", "index"), list(PINNED))
def test_scene_bytes_are_pinned(namespace: str, index: int) -> None:
    image = draw(namespace, [index])
    assert image.shape == (1, 64, 64, 3)
    assert image.dtype == np.uint8
    assert hashlib.sha256(image.tobytes()).hexdigest() == PINNED[namespace, index]


def test_bytes_of_every_cell_are_pinned() -> None:
    """50 scenes hold every category on every background, so all drawing code is pinned."""
    assert hashlib.sha256(draw("pinned", range(150)).tobytes()).hexdigest() == PINNED_ALL


def test_words_are_pinned() -> None:
    """The published Philox stream; another numpy must give the same."""
    assert words("test", 3, 2).tolist() == [3791181874495493489, 6026872540034503113]
    assert words("test", 3, 1, stream=1).tolist() == [13317437212740940426]
    assert words("test", 3, 9)[:2].tolist() == words("test", 3, 2).tolist()


def test_drawing_uses_integers_only() -> None:
    folder = Path(scenes_package.__file__).parent
    sources = sorted(folder.glob("*.py"))
    assert len(sources) == 4
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), source
            assert not (isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div)), source
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"float32", "float64", "mean", "sin", "cos", "sqrt"}, source


def test_scene_does_not_depend_on_its_company() -> None:
    together = draw("test", [9, 3, 800])
    assert np.array_equal(together[1], draw("test", range(5))[3])
    assert describe("test", [9, 3])[1] == describe("test", [3])[0]
    assert not np.array_equal(draw("train", [3])[0], together[1])


@settings(max_examples=15, deadline=None)
@given(namespace=st.text(min_size=1, max_size=12), block=st.integers(0, 500))
def test_every_prefix_is_balanced(namespace: str, block: int) -> None:
    cells = [(s.category, s.background) for s in describe(namespace, range(50 * block, 50 * block + 50))]
    assert set(cells) == {(c, b) for c in CATEGORIES for b in BACKGROUNDS}
    for start in range(0, 50, 10):
        assert {category for category, _ in cells[start : start + 10]} == set(CATEGORIES)
    for length in range(1, 51):
        for names, part in ((CATEGORIES, 0), (BACKGROUNDS, 1)):
            counts = Counter(cell[part] for cell in cells[:length])
            appearances = [counts[name] for name in names]
            assert max(appearances) - min(appearances) <= 1


def test_hundred_test_scenes_hold_two_of_every_cell() -> None:
    cells = Counter((s.category, s.background) for s in describe("test", range(100)))
    assert set(cells.values()) == {2}
    assert len(cells) == 50


PHRASE = re.compile(
    rf"a ({'|'.join(SIZES)}) ({'|'.join(COLORS)}) ({'|'.join(CATEGORIES)}) "
    r"(on the (?:(upper|lower) )?(left|right)|at the top|at the bottom|in the centre)"
)


def test_captions_say_what_is_there(many: list[Scene]) -> None:
    for scene in many:
        *_, background = re.findall(r"in a (\w+) scene$", scene.caption)
        assert background == scene.background
        named_objects = [match.group(1, 2, 3) for match in PHRASE.finditer(scene.caption)]
        assert named_objects == [(o.size, o.color, o.category) for o in scene.objects]
        for match, item in zip(PHRASE.finditer(scene.caption), scene.objects):
            place = match.group(4)
            if "left" in place:
                assert item.x < 32
            if "right" in place:
                assert item.x > 32
            if "upper" in place or "top" in place:
                assert item.y < 32
            if "lower" in place or "bottom" in place:
                assert item.y > 32


def test_objects_vary(many: list[Scene]) -> None:
    items = [item for scene in many for item in scene.objects]
    assert Counter(len(scene.objects) for scene in many).keys() == {1, 2, 3}
    for name, choices in (("category", CATEGORIES), ("color", COLORS), ("size", SIZES)):
        assert {getattr(item, name) for item in items} == set(choices)
    assert len({(item.x, item.y) for item in items}) > 300
    assert len({item.tilt for item in items}) == 5
    assert {item.mirrored for item in items} == {True, False}
    assert len({scene.caption for scene in many}) > 290
    for scene in many:
        assert len({item.category for item in scene.objects}) == len(scene.objects)
        assert sorted(item.order for item in scene.objects) == list(range(len(scene.objects)))
        ranks = [SIZES.index(item.size) for item in scene.objects]
        assert ranks[0] == max(ranks)
    radii = {size: [item.radius for item in items if item.size == size] for size in SIZES}
    for smaller, larger in pairwise(SIZES):
        assert max(radii[smaller]) < min(radii[larger])


def _footprint(scene: Scene, number: int) -> np.ndarray:
    """(64, 64) bool: pixels that change when one object is drawn alone on its background."""
    # A fully clipped object leaves the background: the same scene with the object far outside.
    item = replace(scene.objects[number], order=0)
    away = replace(item, x=-200)
    alone = draw_scene(replace(scene, objects=(item,)))
    return (alone != draw_scene(replace(scene, objects=(away,)))).any(axis=-1)


def test_objects_occlude_each_other_and_leave_the_main_one_visible(many: list[Scene]) -> None:
    overlapping = 0
    for scene in [s for s in many if len(s.objects) > 1][:120]:
        footprints = [_footprint(scene, number) for number in range(len(scene.objects))]
        overlapping += int((np.sum(footprints, axis=0) > 1).sum() > 20)
        nearer = [
            footprint
            for footprint, item in zip(footprints[1:], scene.objects[1:])
            if item.order > scene.objects[0].order
        ]
        hidden = footprints[0] & np.any(nearer, axis=0) if nearer else np.zeros((64, 64), bool)
        assert hidden.sum() < 0.5 * footprints[0].sum(), scene.caption
    assert overlapping > 20


def test_nearer_objects_cover_farther_ones() -> None:
    car = SceneObject("car", "red", "large", 30, 32, 16, 0, False, 0, 0)
    tree = SceneObject("tree", "blue", "large", 34, 32, 16, 0, False, 0, 1)
    scene = Scene("test", 0, (car, tree), "sky")
    tree_alone = draw_scene(replace(scene, objects=(replace(tree, order=1),)))
    covered = _footprint(scene, 1) & _footprint(scene, 0)
    assert covered.sum() > 100
    swapped = replace(scene, objects=(replace(car, order=1), replace(tree, order=0)))
    # Pixels that the tree covers only in part may show the car beside it.
    as_tree, as_car = (
        (draw_scene(each)[covered] == tree_alone[covered]).all(axis=-1).mean() for each in (scene, swapped)
    )
    assert as_tree > 0.85
    assert as_car < 0.3


@pytest.mark.parametrize("category", CATEGORIES)
def test_objects_wear_their_colour_and_stay_in_their_place(category: str) -> None:
    for color in ("red", "blue", "green"):
        item = SceneObject(category, color, "large", 32, 32, 16, 8, False, 0, 0)
        scene = Scene("colours", 3, (item,), "night")
        footprint = _footprint(scene, 0)
        rows, columns = np.nonzero(footprint)
        assert rows.min() >= 32 - 22
        assert rows.max() <= 32 + 22
        assert columns.min() >= 32 - 22
        assert columns.max() <= 32 + 22
        pixels = draw_scene(scene)[footprint].astype(int)
        near = (np.abs(pixels - np.array(_RGB[color])).max(axis=1) < 24).mean()
        assert near > 0.1, (category, color, near)


def test_categories_have_shapes_of_their_own() -> None:
    maps = {name: shade_map(name, 0, 32, 0, False) for name in CATEGORIES}
    outlines = [(shades != 0) for shades in maps.values()]
    for first in range(len(outlines)):
        for second in range(first):
            union = outlines[first] | outlines[second]
            common = outlines[first] & outlines[second]
            assert common.sum() < 0.85 * union.sum(), (CATEGORIES[first], CATEGORIES[second])


def test_mirroring_flips_all_but_words() -> None:
    for category in CATEGORIES:
        plain, mirrored = (shade_map(category, 1, 40, 0, flag) for flag in (False, True))
        expected = plain if category == "word" else plain[:, ::-1]
        assert (mirrored == expected).mean() > 0.97
    fish = shade_map("fish", 1, 40, 0, False)
    assert (fish == fish[:, ::-1])[fish != 0].mean() < 0.8


def test_uniforms_and_normals_have_the_right_distribution() -> None:
    from scipy import stats

    raw = words("distribution", 0, 40_000)
    assert stats.kstest(uniforms(raw), "uniform").pvalue > 1e-3
    values = normals(raw)
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(values[:20_000], values[20_000:])[0, 1]) < 0.03


def test_draws_are_uniform_and_within_bounds() -> None:
    draws = Draws("bounds", 0, count=30_000)
    counts = np.bincount([draws.below(7) for _ in range(7000)], minlength=7)
    assert len(counts) == 7
    assert counts.min() > 850
    assert counts.max() < 1150
    assert {draws.between(3, 5) for _ in range(200)} == {3, 4, 5}
    chosen = Counter(draws.choose("ab", (90, 10)) for _ in range(2000))
    assert 1700 < chosen["a"] < 1900
    orders = Counter(tuple(draws.shuffled((0, 1, 2))) for _ in range(3000))
    assert len(orders) == 6
    assert min(orders.values()) > 400
