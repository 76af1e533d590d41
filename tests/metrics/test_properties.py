"""What every installed image score keeps to: best for the image itself, chance, order, gaps, ties, types."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from skimage.metrics import structural_similarity
from torchvision.transforms.functional import resize as torch_resize

from harness import plugins
from harness.api import DataError
from harness.metrics import correlations, pixel
from harness.metrics.identification import two_way, two_way_with_rivalry
from harness.metrics.lookalikes import lookalike_two_way

D = 24
KINDS = 4
GIVEN = {"result", "target", "stimulus", "rendered", "kind"}  # what a score of images is made of here


def image_metrics(inputs):
    """Name -> metric, one for each way of scoring: others differ in the network alone."""
    ways = {}
    for ref in plugins.available("metrics"):
        if ref.module.startswith("harness.metrics."):
            image_metric = metric_named(ref.name)
            given = {"result", "target", *image_metric.gets} - {"rivalry", "device", "copies"}
            if image_metric.inputs == inputs and given <= GIVEN:
                if image_metric.strict:  # ties are lost: chance is not what guessing wins
                    continue
                way = image_metric.row.score.target, image_metric.candidates, image_metric.row.prepare
                ways.setdefault(way, (ref.name, image_metric))
    return dict(ways.values())


EMBEDDED = image_metrics("embedding")
PIXELS = image_metrics("images")
POOLED = sorted(name for name, embedded in EMBEDDED.items() if embedded.pool)
RANKED = sorted(name for name in POOLED if EMBEDDED[name].chance)
SINGLE = sorted(set(EMBEDDED) - set(POOLED))
AGREEMENT = sorted(set(POOLED) - set(RANKED))
SEEDS = st.integers(0, 10_000)


def test_every_way_of_scoring_is_here():
    assert len(RANKED) == 3  # two-way, 100-way, look-alikes
    assert len(SINGLE) == 2  # cosine, distance
    assert len(AGREEMENT) == 2
    assert len(PIXELS) == 7  # PixCorr and SSIM: v1, v2, Brain-Diffuser; PixCorr at the own size


def pair(name, seed, *, noise=1.0):
    """Results, targets (n, D) and what else the metric `name` is given."""
    embedded = EMBEDDED[name]
    generator = np.random.default_rng(seed)
    n = 104 if embedded.candidates == 100 else 24
    target = generator.standard_normal((n, D)).astype(np.float32)
    result = target + noise * generator.standard_normal((n, D)).astype(np.float32)
    more = {"stimulus": generator.standard_normal((n, D))} if "stimulus" in embedded.gets else {}
    if "kind" in embedded.gets:
        more["kind"] = np.arange(n) % KINDS
    return result, target, more


def score(name, result, target, more, rows=slice(None)):
    more = {key: value[rows] for key, value in more.items()}
    return EMBEDDED[name].score(result[rows], target[rows], **more)


# Embeddings


@pytest.mark.parametrize("name", sorted(EMBEDDED))
@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_the_image_itself_is_best(name, seed):
    result, target, more = pair(name, seed, noise=4.0)
    embedded, best = EMBEDDED[name], score(name, target, target, more)
    np.testing.assert_allclose(best.mean(), 1.0 if embedded.higher_is_better else 0.0, atol=1e-6)
    other = score(name, result, target, more)
    assert (other.mean() < best.mean()) if embedded.higher_is_better else (other.mean() > best.mean())


@pytest.mark.parametrize("name", RANKED)
@given(seed=SEEDS, noise=st.sampled_from([0.0, 1.0, 30.0]), levels=st.sampled_from([0, 1]))
@settings(max_examples=5, deadline=None)
def test_all_shuffles_together_are_at_chance_exactly(name, seed, noise, levels):
    """Each result meets every image once: whatever the similarities, ties included, that sums to N chance."""
    result, target, more = pair(name, seed, noise=noise)
    if levels:  # few values, many ties
        result, target = np.round(result[:, :3]), np.round(target[:, :3])
    n = len(target)
    values = [score(name, np.roll(result, k, axis=0), target, more).mean() for k in range(n)]
    assert np.mean(values) == pytest.approx(EMBEDDED[name].chance, abs=1e-12)
    matched = values[0]
    expected = (n * EMBEDDED[name].chance - matched) / (n - 1)
    assert np.mean(values[1:]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", AGREEMENT + SINGLE)
@given(seed=SEEDS)
@settings(max_examples=5, deadline=None)
def test_shuffled_values_without_a_pool_to_rank_are_those_of_strangers(name, seed):
    result, target, more = pair(name, seed, noise=0.3)
    moved = [score(name, np.roll(result, k, axis=0), target, more).mean() for k in range(1, 24)]
    stranger = 0.0 if EMBEDDED[name].higher_is_better else 1.0
    assert np.mean(moved) == pytest.approx(stranger, abs=0.1)


@pytest.mark.parametrize("name", sorted(EMBEDDED))
@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_order_does_not_matter(name, seed):
    result, target, more = pair(name, seed)
    order = np.random.default_rng(seed).permutation(len(target))
    values = score(name, result, target, more)
    np.testing.assert_allclose(score(name, result, target, more, order), values[order], atol=1e-8)
    if name in RANKED:  # counts
        assert np.array_equal(score(name, result, target, more, order), values[order])


@pytest.mark.parametrize("name", sorted(EMBEDDED))
@given(seed=SEEDS, bad=st.sampled_from([np.nan, np.inf, -np.inf]), at=st.integers(0, 20))
@settings(max_examples=8, deadline=None)
def test_a_row_with_a_gap_has_no_value_and_changes_no_other(name, seed, bad, at):
    result, target, more = pair(name, seed)
    rest = np.delete(np.arange(len(target)), at)
    without = score(name, result, target, more, rest)
    for side in (result, target):
        kept = side[at, 3]
        side[at, 3] = bad
        values = score(name, result, target, more)
        side[at, 3] = kept
        assert np.flatnonzero(np.isnan(values)).tolist() == [at]
        if side is target or name not in RANKED:  # an image that has a result only in name is still a rival
            np.testing.assert_allclose(values[rest], without, atol=1e-10)
    broken = result.copy()
    broken[at, 3] = bad
    if name in RANKED:
        np.testing.assert_array_equal(
            score(name, broken, target, more)[rest], score(name, result, target, more)[rest]
        )


@pytest.mark.parametrize("name", sorted(EMBEDDED))
@given(seed=SEEDS, level=st.sampled_from([0.0, 0.1, -7.0, 255.0]), rounding=st.sampled_from([0.0, 1e-9]))
@settings(max_examples=8, deadline=None)
def test_one_flat_output_for_all_is_chance(name, seed, level, rounding):
    wobble, target, more = pair(name, seed)
    values = score(name, level * (1 + rounding * wobble.astype(np.float64)), target, more)
    assert np.isfinite(values).all()
    if name in POOLED:
        np.testing.assert_allclose(values, EMBEDDED[name].chance, atol=1e-12)
    elif not EMBEDDED[name].higher_is_better:
        np.testing.assert_array_equal(values, 1.0)
    elif level == 0:
        np.testing.assert_array_equal(values, 0.0)


@pytest.mark.parametrize("name", sorted(EMBEDDED))
@given(seed=SEEDS)
@settings(max_examples=5, deadline=None)
def test_one_image_alone_has_a_value_only_without_a_pool(name, seed):
    result, target, more = pair(name, seed)
    (alone,) = score(name, result, target, more, [5])
    if name in POOLED:
        assert np.isnan(alone)
    else:
        assert alone == pytest.approx(score(name, result, target, more)[5], abs=1e-12)


@pytest.mark.parametrize("name", sorted(EMBEDDED))
@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_half_precision_is_for_storage_only(name, seed):
    """Embeddings that differ little, as a network's do: cosines about 0.95, in float16 nearly all alike."""
    result, target, more = pair(name, seed)
    stored = [(4 + features).astype(np.float16) for features in (result, target)]
    values = score(name, *stored, more)
    exact = score(name, *(features.astype(np.float64) for features in stored), more)
    np.testing.assert_allclose(values, exact, atol=1e-12)
    np.testing.assert_array_equal(
        values, score(name, *(features.astype(np.float32) for features in stored), more)
    )


@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_half_precision_makes_no_ties(seed):
    generator = np.random.default_rng(seed)
    shared, own, error = generator.standard_normal(512), *generator.standard_normal((2, 60, 512))
    target, result = shared + 0.2 * own, shared + 0.02 * own + 0.2 * error
    target, result = target.astype(np.float16), result.astype(np.float16)
    similar = np.corrcoef(target.astype(float), result.astype(float))[:60, 60:]
    assert similar.min() > 0.85
    in_half = similar.astype(np.float16)
    assert (in_half == np.diag(in_half)).sum() > 60  # correlations in float16 tie
    assert np.array_equal(two_way(result, target), (similar < np.diag(similar)).sum(axis=0) / 59)
    assert np.array_equal(two_way(result, target), two_way(result, target, strict=True))


@given(seed=SEEDS, n=st.integers(2, 30), d=st.integers(2, 4), choose=st.sampled_from(["target", "result"]))
@settings(max_examples=30, deadline=None)
def test_ties_are_half_a_win_and_lost_in_the_strict_variant(seed, n, d, choose):
    """Features of three levels, so that many rows are equal, or opposite, or flat."""
    result, target = np.random.default_rng(seed).integers(-1, 2, (2, n, d)).astype(np.float32)
    choosers, candidates = (result, target) if choose == "target" else (target, result)
    similar = np.array([[exact_r(a, b) for b in choosers] for a in candidates])
    lead = np.diag(similar) - similar
    others = ~np.eye(n, dtype=bool)
    won, tied = ((lead > 1e-9) & others).sum(axis=0), ((abs(lead) < 1e-9) & others).sum(axis=0)
    np.testing.assert_allclose(two_way(result, target, choose=choose), (won + tied / 2) / (n - 1))
    np.testing.assert_allclose(two_way(result, target, choose=choose, strict=True), won / (n - 1))
    both = two_way_with_rivalry(result, target, choose=choose)
    np.testing.assert_array_equal(both[0], two_way(result, target, choose=choose))
    kind = np.zeros(n)
    np.testing.assert_array_equal(lookalike_two_way(result, target, kind=kind, choose=choose), both[0])


def exact_r(a, b):
    """Pearson's correlation of two rows, 0 where one is flat."""
    a, b = a - a.mean(dtype=float), b - b.mean(dtype=float)
    norm = np.sqrt((a @ a) * (b @ b))
    return a @ b / norm if norm > 1e-6 else 0.0


@pytest.mark.parametrize("offset", [0.0, 3.0, 3e5])
@pytest.mark.parametrize("scale", [1e-36, 1.0, 1e5])
@given(seed=SEEDS)
@settings(max_examples=4, deadline=None)
def test_counts_are_those_of_float64_wherever_features_lie(offset, scale, seed):
    result, target = np.random.default_rng(seed).standard_normal((2, 50, 300))
    result, target = (((features + offset) * scale).astype(np.float32) for features in (result, target))
    similar = np.corrcoef(target.astype(float), result.astype(float))[:50, 50:]
    assert np.array_equal(two_way(result, target, strict=True), (similar < np.diag(similar)).sum(axis=0) / 49)


@pytest.mark.parametrize("near", [3, 60])  # few pairs are compared one by one, many by one product
def test_many_features_in_many_blocks_are_counted_exactly(near, monkeypatch):
    monkeypatch.setattr(correlations, "HELD", 60 * 37)
    monkeypatch.setattr(correlations, "CACHED", 100)
    generator = np.random.default_rng(near)
    target = generator.standard_normal((60, 1000))
    target[:near] = target[0] + 1e-6 * generator.standard_normal((near, 1000))
    result = target + 0.5 * generator.standard_normal((60, 1000))
    result[7] = 2.0
    similar = np.array([[exact_r(a, b) for b in result] for a in target])
    lead = np.diag(similar) - similar
    close = (abs(lead) < 1e-5).sum() - 60
    assert close >= near * (near - 1)
    expected = ((lead > 1e-12).sum(axis=0) + ((abs(lead) <= 1e-12).sum(axis=0) - 1) / 2) / 59
    np.testing.assert_array_equal(two_way(result, target), expected)
    for choose in ("target", "result"):
        values = two_way(result.astype(np.float32), target.astype(np.float32), choose=choose)
        plain = two_way(*(x.astype(np.float32).astype(float) for x in (result, target)), choose=choose)
        np.testing.assert_array_equal(values, plain)


@pytest.mark.parametrize("k", [10, 20, 40, 80])
@pytest.mark.parametrize("accuracy", [1.0, 0.8])
def test_two_way_saturates_for_who_knows_only_the_cluster(k, accuracy):
    """1 - 1/(2K) says nothing of images; a wrong cluster loses to all of its own and to half of the rest."""
    n, d = 960, 200
    generator = np.random.default_rng(k)
    centres = generator.standard_normal((k, d))
    cluster = np.arange(n) % k
    wrong = (accuracy < 1) & (np.arange(n) // k % 5 == 4)
    guessed = (cluster + wrong * generator.integers(1, k, n)) % k
    right = (guessed == cluster).mean()
    assert right == pytest.approx(accuracy, abs=0.04)
    target = centres[cluster] + 0.2 * generator.standard_normal((n, d))
    result = centres[guessed] + 0.2 * generator.standard_normal((n, d))
    expected = right * (1 - 1 / (2 * k)) + (1 - right) * (1 - 1 / k) / 2
    assert two_way(result, target).mean() == pytest.approx(expected, abs=0.015)
    if accuracy == 1:
        assert two_way(result, target).mean() == pytest.approx(1 - 1 / (2 * k), abs=0.003)
        assert lookalike_two_way(result, target, kind=cluster).mean() == pytest.approx(0.5, abs=0.03)


# Pixels


def smooth(seed, n, height, width, channels=3):
    """(n, height, width, channels) uint8 with coarse structure and grain."""
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.random((n, channels, 5, 7), np.float32))
    images = torch_resize(coarse, [height, width], antialias=True).numpy().transpose(0, 2, 3, 1)
    grain = 0.05 * generator.standard_normal(images.shape)
    return np.round(255 * np.clip(0.9 * images + grain, 0, 1)).astype(np.uint8)


def compare(name, result, target):
    pixels = PIXELS[name]
    return pixels.score(pixels.prepare(result), pixels.prepare(target))


@pytest.mark.parametrize("name", sorted(PIXELS))
@given(seed=SEEDS, height=st.integers(20, 120), width=st.integers(20, 120))
@settings(max_examples=3, deadline=None)
def test_pixels_whatever_the_shape_type_and_order(name, seed, height, width):
    target, result = smooth(seed, 3, height, width), smooth(seed + 1, 3, width, height)
    values = compare(name, result, target)
    assert values.shape == (3,)
    np.testing.assert_allclose(compare(name, target, target), 1, atol=1e-6)
    assert (values < 0.999).all()
    np.testing.assert_array_equal(compare(name, result[::-1], target[::-1]), values[::-1])
    np.testing.assert_array_equal(compare(name, result[1:2], target[1:2]), values[1:2])  # one image
    floats = [images.astype(np.float32) / np.float32(255) for images in (result, target)]
    np.testing.assert_allclose(compare(name, *floats), values, atol=1e-6)
    np.testing.assert_allclose(compare(name, result / 255.0, target), values, atol=1e-6)
    half = [images.astype(np.float16) for images in floats]  # 11 bits of 8: stored so, compared in float32
    np.testing.assert_allclose(compare(name, *half), values, atol=2e-3)


@pytest.mark.parametrize("name", sorted(PIXELS))
@given(seed=SEEDS, level=st.integers(0, 255))
@settings(max_examples=3, deadline=None)
def test_constant_pictures(name, seed, level):
    flat, target = np.full((2, 40, 30, 3), level, np.uint8), smooth(seed, 2, 50, 50)
    values = compare(name, flat, target)
    assert np.isfinite(values).all()
    if "pixcorr" in name:
        np.testing.assert_array_equal(values, 0)
        np.testing.assert_array_equal(compare(name, flat, flat), 0)
    else:
        assert (values < 1).all()
        np.testing.assert_allclose(compare(name, flat, flat), 1, atol=1e-6)


@pytest.mark.parametrize("name", sorted(PIXELS))
def test_pictures_with_a_gap(name):
    target = smooth(0, 3, 40, 40).astype(np.float32) / np.float32(255)
    broken = target.copy()
    broken[1, 5, 5] = np.nan
    if name.startswith("brain-diffuser"):  # it rounds to 8 bit first, and nothing is 8 bit of NaN
        with pytest.raises(DataError, match="expected \\[0, 1\\]"):
            compare(name, broken, target)
        return
    assert np.isnan(compare(name, broken, target)).tolist() == [False, True, False]
    assert np.isnan(compare(name, target, broken)).tolist() == [False, True, False]


@given(seed=SEEDS)
@settings(max_examples=3, deadline=None)
def test_a_grey_picture_in_colour_counts_as_its_single_plane(seed):
    planes = [smooth(seed + k, 2, 256, 256, channels=1) for k in range(2)]
    colour = [np.repeat(plane, 3, axis=3) for plane in planes]
    large = [
        torch_resize(torch.from_numpy(plane[..., 0] / np.float32(255))[None], [425, 425], antialias=False)[0]
        for plane in planes
    ]
    scores = compare("ssim", *colour), compare("pixcorr", *colour)
    for k, (a, b) in enumerate(zip(*(images.numpy() for images in large))):
        how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        assert scores[0][k] == pytest.approx(structural_similarity(a, b, **how), abs=3e-5)
        assert scores[1][k] == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=3e-5)
    mixed = compare("ssim", colour[0], smooth(seed, 2, 100, 80))
    assert np.isfinite(mixed).all()


@pytest.mark.parametrize("sizes", [(40,), (40, 61), (40, 61, 97)])
def test_pixcorr_enlarges_in_effect_whatever_the_steps(sizes, monkeypatch):
    """It never makes the large image: the factor of one enlargement has two diagonals, that of two more."""
    family = pixel.Family("odd", sizes=sizes, antialias=False)
    monkeypatch.setitem(pixel.FAMILIES, "odd", family)
    sides = [smooth(seed, 2, 40, 56).astype(np.float64) / 255 for seed in (1, 2)]
    r = pixel.pixcorr(*(pixel.prepare_pixcorr(images, family="odd", dtype=np.float64) for images in sides))
    large = [pixel.through_sizes(images, family).reshape(2, -1) for images in sides]
    assert large[0].shape == (2, 3 * sizes[-1] ** 2)
    np.testing.assert_allclose(r, [np.corrcoef(a, b)[0, 1] for a, b in zip(*large)], atol=1e-12)
