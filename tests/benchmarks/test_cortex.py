"""Simulated cortex: noise ceilings, layouts, selectivity, noise."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from harness.benchmarks.cortex import N_REFERENCE, REFERENCE, SUBJECTS, Cortex
from harness.benchmarks.noise import NOISE_RANK
from harness.benchmarks.objects import SeenObjects
from harness.benchmarks.recipes import RECIPES
from harness.benchmarks.scenes import CATEGORIES, COLORS, SIZES, Scene, SceneObject, describe, draw
from harness.benchmarks.tuning import CONTENT, content

FAVOURITES = {"FFA": "face", "EBA": "person", "PPA": "house", "VWFA": "word"}


@cache
def cortex_of(subject: str, version: str = "1") -> Cortex:
    return Cortex(subject, version=version)


@pytest.fixture(scope="module", params=list(RECIPES))
def cortex(request: pytest.FixtureRequest) -> Cortex:
    return cortex_of("subj03", request.param)


@pytest.fixture(scope="module")
def reference() -> tuple[np.ndarray, list[Scene]]:
    return draw(REFERENCE, range(N_REFERENCE)), describe(REFERENCE, range(N_REFERENCE))


@pytest.fixture(scope="module")
def shown() -> tuple[np.ndarray, list[Scene]]:
    return draw("test", range(400)), describe("test", range(400))


@pytest.fixture(scope="module")
def signal(cortex: Cortex, shown: tuple[np.ndarray, list[Scene]]) -> np.ndarray:
    return cortex.signal(*shown)


@pytest.mark.parametrize("subject", list(SUBJECTS))
def test_noise_ceilings(subject: str) -> None:
    space = cortex_of(subject).space
    assert 1000 <= space.n_voxels <= 3000
    ceiling = space.noise_ceiling(np.full(100, 3))
    low, median, high = np.quantile(ceiling, [0.1, 0.5, 0.9])
    assert low <= 0.08
    assert 0.25 <= median <= 0.45
    assert high >= 0.55
    medians = {name: np.median(ceiling[members]) for name, members in space.rois.items()}
    ventral = [medians[name] for name in ("V1", "V2", "V3", "hV4")]
    assert all(np.diff(ventral) < -0.02)
    for name in ("LO", "EBA", "FFA", "PPA", "VWFA"):
        assert medians[name] < medians["hV4"] - 0.02
    groups = [np.median(ceiling[space.groups[name]]) for name in ("early", "middle", "higher")]
    assert all(np.diff(groups) < 0)


def test_every_subject_has_its_own_layout() -> None:
    spaces = [cortex_of(subject).space for subject in SUBJECTS]
    assert len({space.n_voxels for space in spaces}) == 4
    assert len({space.sha for space in spaces}) == 4
    for space in spaces:
        assert set(space.rois) == {area.name for area in RECIPES["1"].areas}
        assert (np.sum(list(space.rois.values()), axis=0) == 1).all()
        assert set(space.groups) == {"early", "middle", "higher"}
        assert (np.sum(list(space.groups.values()), axis=0) == 1).all()
        assert min(members.sum() for members in space.rois.values()) >= 40
        assert space.coordinates.shape == (space.n_voxels, 2)
        assert len(np.unique(space.coordinates, axis=0)) == space.n_voxels
        assert space.units == "zscore_session"


def test_neighbours_respond_alike(cortex: Cortex, signal: np.ndarray) -> None:
    for name, members in cortex.space.rois.items():
        correlation = np.corrcoef(signal[:, members].T)
        neighbours = np.diag(correlation, 1).mean()
        n = len(correlation)
        pairs = (correlation.sum() - n) / (n * (n - 1))
        assert neighbours > pairs + 0.1, name
        assert neighbours > 0.5, name


def test_areas_prefer_their_category(
    cortex: Cortex, signal: np.ndarray, shown: tuple[np.ndarray, list[Scene]]
) -> None:
    standard = signal / np.sqrt(cortex.signal_share)
    main = np.array([scene.category for scene in shown[1]])
    for area, favourite in FAVOURITES.items():
        means = {name: standard[main == name][:, cortex.space.rois[area]].mean() for name in CATEGORIES}
        assert means[favourite] > 0.7, area
        assert all(means[favourite] > means[name] + 0.3 for name in CATEGORIES if name != favourite), area
    things = standard[np.isin(main, ("car", "cup", "fish", "flower", "boat"))]
    others = standard[np.isin(main, ("face", "person", "word"))]
    objects = cortex.space.rois["LO"]
    assert things[:, objects].mean() > others[:, objects].mean() + 0.4


def test_early_areas_see_pixels_and_higher_areas_content(
    cortex: Cortex, signal: np.ndarray, shown: tuple[np.ndarray, list[Scene]]
) -> None:
    images, scenes = shown[0][:40], shown[1][:40]
    other_scenes = cortex.signal(images, scenes[::-1])
    other_images = cortex.signal(images[::-1], scenes)
    pixels = cortex.space.groups["early"] | cortex.space.groups["middle"]
    higher = cortex.space.groups["higher"]
    assert np.allclose(other_scenes[:, pixels], signal[:40, pixels], atol=1e-12)
    assert np.allclose(other_images[:, higher], signal[:40, higher], atol=1e-12)
    assert np.abs(other_scenes[:, higher] - signal[:40, higher]).mean() > 0.1
    assert np.abs(other_images[:, pixels] - signal[:40, pixels]).mean() > 0.1


def test_retinotopy_follows_the_stimulus(cortex: Cortex) -> None:
    """Texture on one side moves the voxels whose fields lie there."""
    scene = describe("test", [0])
    left, right = np.full((1, 64, 64, 3), 128, np.uint8), np.full((1, 64, 64, 3), 128, np.uint8)
    texture = draw("texture", [0])
    left[:, :, :28] = texture[:, :, :28]
    right[:, :, 36:] = texture[:, :, 36:]
    difference = (cortex.signal(left, scene) - cortex.signal(right, scene))[0]
    v1 = difference[cortex.space.rois["V1"]]
    assert (v1 > 0.1).mean() > 0.2
    assert (v1 < -0.1).mean() > 0.2


def test_signal_variance_is_exact_over_the_reference_scenes(
    cortex: Cortex, reference: tuple[np.ndarray, list[Scene]]
) -> None:
    signal = cortex.signal(*reference)
    assert np.allclose(signal.mean(axis=0), 0.0, atol=1e-9)
    assert np.allclose(signal.var(axis=0), cortex.signal_share, rtol=1e-9)
    assert np.allclose(cortex.space.ncsnr**2, cortex.signal_share / (1 - cortex.signal_share))


def test_signal_holds_for_other_scenes_and_does_not_depend_on_the_batch(
    cortex: Cortex, signal: np.ndarray, shown: tuple[np.ndarray, list[Scene]]
) -> None:
    ratio = signal.var(axis=0) / cortex.signal_share
    assert ratio.mean() == pytest.approx(1.0, abs=0.06)
    few = cortex.signal(shown[0][7:10], shown[1][7:10])
    assert np.allclose(few, signal[7:10], atol=1e-11)
    again = Cortex("subj03", version=cortex.recipe.version).signal(shown[0][:3], shown[1][:3])
    assert np.allclose(again, signal[:3], atol=1e-11)


def test_content_describes_the_scene() -> None:
    scene = describe("test", [7])[0]
    seen = dict(zip(CONTENT, content([scene])[0]))
    here = {item.category: item for item in scene.objects}
    for category in CATEGORIES:
        assert seen[f"presence {category}"] == (category in here)
        assert (seen[f"size {category}"] > 0) == (category in here)
    for category, item in here.items():
        assert np.sign(seen[f"across {category}"]) == np.sign(item.x - 31.5)
    assert sum(seen[f"background {name}"] for name in ("sky", "grass", "sand", "sea", "night")) == 1
    assert seen[f"background {scene.background}"] == 1


def test_noise_of_version_1_has_the_stated_covariance() -> None:
    cortex = cortex_of("subj03")
    noise = cortex.noise(range(1500), 0, series="covariance") / np.sqrt(1 - cortex.signal_share)
    assert noise.var(axis=0).mean() == pytest.approx(1.0, abs=0.02)
    assert np.abs(noise.mean(axis=0)).max() < 0.15
    spectrum = np.linalg.eigvalsh(noise @ noise.T / 1500)[::-1]
    # White noise of variance .65 in 1,200 voxels and 1,500 trials stays below .65 (1 + sqrt(.8))^2.
    assert (spectrum > 0.65 * (1 + np.sqrt(0.8)) ** 2 * 1.2).sum() == NOISE_RANK
    assert spectrum[:NOISE_RANK].sum() / spectrum.sum() == pytest.approx(0.35, abs=0.05)
    correlation = np.corrcoef(noise.T)
    step = np.linalg.norm(np.diff(cortex.space.coordinates, axis=0), axis=1)
    near = np.diag(correlation, 1)[step < 2]
    assert near.mean() == pytest.approx(0.34, abs=0.03)
    far = correlation[: len(correlation) // 4, -len(correlation) // 4 :]
    assert abs(far.mean()) < 0.1


def test_noise_is_a_function_of_image_and_repeat(cortex: Cortex) -> None:
    noise = cortex.noise([5, 2, 9], 1, series="a")
    assert np.allclose(cortex.noise([2], 1, series="a")[0], noise[1], atol=1e-12)
    for other in (
        cortex.noise([2], 0, series="a"),
        cortex.noise([2], 1, series="b"),
        cortex.noise([3], 1, series="a"),
    ):
        assert abs(np.corrcoef(other[0], noise[1])[0, 1]) < 0.3


def test_ceilings_of_version_2_are_those_of_nsd() -> None:
    """Medians of subj01 per area, and few voxels near the top."""
    space = cortex_of("subj01", "2").space
    ceiling = space.noise_ceiling(np.full(100, 3))
    for names, expected in ((("V1",), 0.37), (("V2",), 0.31), (("hV4",), 0.26)):
        for name in names:
            assert np.median(ceiling[space.rois[name]]) == pytest.approx(expected, abs=0.01)
    for name in ("LO", "EBA", "FFA", "PPA", "VWFA"):
        assert np.median(ceiling[space.rois[name]]) == pytest.approx(0.10, abs=0.01)
    assert (ceiling > 0.8).mean() < 0.01


def _labels(scenes: list[Scene]) -> np.ndarray:
    """(n, D) all that a backbone of this project is taught: content, main object, category x color."""
    pairs = np.zeros((len(scenes), len(CATEGORIES) * len(COLORS)))
    main = np.zeros((len(scenes), len(CATEGORIES) + len(COLORS) + len(SIZES) + 2))
    for row, scene in enumerate(scenes):
        for item in scene.objects:
            pairs[row, CATEGORIES.index(item.category) * len(COLORS) + COLORS.index(item.color)] += 1
        first = scene.objects[0]
        main[row, CATEGORIES.index(first.category)] = 1
        main[row, 10 + COLORS.index(first.color)] = main[row, 19 + SIZES.index(first.size)] = 1
        main[row, -2:] = first.x / 64, first.y / 64
    return np.concatenate([content(scenes), main, pairs, np.ones((len(scenes), 1))], axis=1)


@pytest.mark.parametrize(("version", "low", "high"), [("1", 0.95, 1.0), ("2", 0.45, 0.60)])
def test_what_a_linear_read_out_of_all_labels_explains(version: str, low: float, high: float) -> None:
    """Of the explainable variance of higher areas, on scenes that it was not fitted on."""
    cortex = cortex_of("subj03", version)
    train, test = describe("train", range(3000)), describe("test", range(500))
    see = SeenObjects.of if version == "2" else content
    train_responses, test_responses = (
        np.concatenate([area.respond(see(scenes)) for area in cortex._higher], axis=1)
        for scenes in (train, test)
    )
    mean, sd = train_responses.mean(axis=0), train_responses.std(axis=0)
    train_responses, test_responses = (train_responses - mean) / sd, (test_responses - mean) / sd
    share = cortex.signal_share[cortex.space.groups["higher"]]
    x = _labels(train)
    weights = np.linalg.solve(x.T @ x + 0.03 * np.eye(x.shape[1]), x.T @ train_responses)
    left = ((test_responses - _labels(test) @ weights) ** 2 * share).sum()
    explained = 1 - left / ((test_responses - test_responses.mean(axis=0)) ** 2 * share).sum()
    assert low < explained < high


def test_higher_areas_of_version_2_bind_normalise_and_have_context() -> None:
    cortex = cortex_of("subj03", "2")
    higher = cortex.space.groups["higher"]
    image = np.zeros((1, 64, 64, 3), np.uint8)

    def response(*objects: SceneObject, background: str = "sky") -> np.ndarray:
        return cortex.signal(image, [Scene("made", 0, objects, background)])[0, higher]

    face = SceneObject("face", "red", "large", 18, 32, 16, 0, False, 0, 0)
    house = replace(face, category="house", color="blue", x=46)
    swapped = response(replace(face, color="blue"), replace(house, color="red"))
    assert np.abs(response(face, house) - swapped).mean() > 0.05  # the same labels, bound otherwise
    silent = cortex.signal(image, [Scene("made", 0, (), "sky")])[0, higher]
    both = response(face, house) - silent
    alone = response(face) + response(house) - 2 * silent
    assert (both < alone).mean() > 0.9
    assert np.abs(response(face) - response(face, background="night")).mean() > 0.05
    assert np.abs(response(face) - response(replace(face, variant=3))).mean() > 0.05
