"""Network metrics: the slots' definitions against numpy and scipy, look-alikes against brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from named_backbones import backbone_named
from named_metrics import metric_named
from scipy.spatial.distance import correlation, cosine

from harness import plugins
from harness.api import DataError, Metric
from harness.metrics.catalogue import LOOKALIKE
from harness.metrics.lookalikes import kinds, lookalike_two_way
from harness.metrics.networks import cosine_similarity

SLOTS = {
    "alexnet2@tiny": ("alexnet@tiny", "conv2"),
    "alexnet5@tiny": ("alexnet@tiny", "conv5"),
    "inception@tiny": ("inception@tiny", "avgpool"),
    "clip@tiny": ("clip@tiny", "image"),
    "clip-100way@tiny": ("clip@tiny", "image"),
    "clip-cos@tiny": ("clip@tiny", "image"),
    "dinov2@tiny": ("dinov2@tiny", "cls"),
    "dinov2-cos@tiny": ("dinov2@tiny", "cls"),
    "efficientnet@tiny": ("efficientnet@tiny", "avgpool"),
    "swav@tiny": ("swav@tiny", "avgpool"),
}
TWO_WAY = ("alexnet2@tiny", "alexnet5@tiny", "inception@tiny", "clip@tiny", "dinov2@tiny")
DISTANCES = ("efficientnet@tiny", "swav@tiny")
COSINES = ("clip-cos@tiny", "dinov2-cos@tiny")


def metric(name):
    return metric_named(name)


def pair(n=120, d=30, noise=2.0, seed=0):
    generator = np.random.default_rng(seed)
    target = generator.standard_normal((n, d)).astype(np.float32)
    return target + noise * generator.standard_normal((n, d)).astype(np.float32), target


@pytest.mark.parametrize("name", SLOTS)
def test_every_slot_names_a_layer_that_its_backbone_has_and_never_that_of_encoders(name):
    slot = metric(name)
    assert isinstance(slot.row, Metric)
    assert slot.backbone == SLOTS[name]
    backbone = plugins.find("backbones", slot.backbone[0]).load()
    assert slot.backbone[1] in backbone.layers
    assert slot.backbone[0] != "scenes@tiny"
    # They judge drawn scenes only, so never real data by themselves.
    assert slot.default == (False if name in COSINES else "simulated")
    assert (slot.unit, slot.inputs, "stimulus" in slot.gets) == ("image", "embedding", False)
    assert slot.targets == ("stimulus", "measured")


@pytest.mark.parametrize("name", TWO_WAY)
def test_two_way_slots_equal_numpy(name):
    result, target = pair()
    r = np.corrcoef(target, result)[:120, 120:]
    expected = ((r < np.diag(r)).sum(axis=0)) / 119
    slot = metric(name)
    np.testing.assert_allclose(slot.score(result, target), expected)
    assert (slot.pool, slot.higher_is_better, slot.chance) == (True, True, 0.5)


def test_hundred_way_is_harder_and_needs_a_hundred_images():
    result, target = pair()
    two, hundred = metric("clip@tiny"), metric("clip-100way@tiny")
    assert hundred.chance == 0.01
    assert (hundred.score(result, target) <= two.score(result, target) + 1e-12).all()
    assert 0.1 < hundred.score(result, target).mean() < two.score(result, target).mean()
    assert np.isnan(hundred.score(result[:99], target[:99])).all()
    noise = np.random.default_rng(1).standard_normal((120, 30))
    assert abs(hundred.score(noise, target).mean() - 0.01) < 0.03


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_slots_equal_scipy_and_point_down(name):
    result, target = pair(20)
    slot = metric(name)
    expected = [correlation(a, b) for a, b in zip(result.astype(float), target.astype(float))]
    np.testing.assert_allclose(slot.score(result, target), expected, atol=1e-12)
    assert (slot.pool, slot.higher_is_better, slot.chance) == (False, False, None)
    np.testing.assert_allclose(slot.score(target, target), 0, atol=1e-12)
    result[3, 2] = np.nan
    values = slot.score(result, target)
    assert np.isnan(values[3])
    assert np.isfinite(np.delete(values, 3)).all()


@pytest.mark.parametrize("name", COSINES)
def test_cosine_slots_equal_scipy(name):
    result, target = pair(20)
    slot = metric(name)
    expected = [1 - cosine(a, b) for a, b in zip(result.astype(float), target.astype(float))]
    np.testing.assert_allclose(slot.score(result, target), expected, atol=1e-12)
    assert (slot.pool, slot.higher_is_better) == (False, True)


def test_cosine_of_nothing_is_zero_and_of_a_gap_is_unknown():
    rows = np.eye(4, dtype=np.float32)
    rows[1] = 0
    rows[2, 0] = np.nan
    np.testing.assert_array_equal(cosine_similarity(rows, np.eye(4)), [1, 0, np.nan, 1])


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-10, 10), seed=st.integers(0, 100))
def test_pairwise_slots_ignore_what_they_should(scale, shift, seed):
    result, target = pair(12, seed=seed)
    result, target = result.astype(np.float64), target.astype(np.float64)
    for name in DISTANCES:
        moved = metric(name).score(result * scale + shift, target)
        np.testing.assert_allclose(moved, metric(name).score(result, target), atol=1e-7)
    for name in COSINES:
        np.testing.assert_allclose(
            metric(name).score(result * scale, target), metric(name).score(result, target), atol=1e-7
        )


def test_labels_are_distinct():
    labels = [metric(name).label for name in SLOTS]
    assert len(set(labels)) == len(labels)
    assert all("tiny" in label for label in labels)
    assert metric("clip@tiny").label != metric("clip-100way@tiny").label


# Pretrained networks

FIELD = {
    "alexnet2": ("alexnet", "features.4"),
    "alexnet5": ("alexnet", "features.11"),
    "inception": ("inception", "avgpool"),
    "clip": ("clip", "image"),
    "efficientnet": ("efficientnet", "avgpool"),
    "swav": ("swav", "avgpool"),
}
EXTRA = {"clip-100way": ("clip", "image"), "clip-cos": ("clip", "image")}
PUBLISHED = {
    **{name: (f"{network}-v1", layer) for name, (network, layer) in (FIELD | EXTRA).items()},
    **{f"{name}-v2": (f"{network}-v2", layer) for name, (network, layer) in (FIELD | EXTRA).items()},
    **{
        f"brain-diffuser-{name}": (f"{network}-brain-diffuser", layer)
        for name, (network, layer) in FIELD.items()
    },
    "dinov2": ("dinov2", "cls"),
    "dinov2-cos": ("dinov2", "cls"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_slots_have_their_own_networks_and_are_on_for_real_data_in_one_family(name):
    slot = metric(name)
    assert isinstance(slot.row, Metric)
    assert slot.backbone == PUBLISHED[name]
    assert slot.backbone[1] in backbone_named(slot.backbone[0]).layers
    first_family = not name.endswith("-v2") and not name.startswith("brain-diffuser-")
    assert slot.default == ("real" if first_family else False)
    assert (slot.unit, slot.inputs, "stimulus" in slot.gets) == ("image", "embedding", False)
    assert slot.targets == ("stimulus", "measured")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_slots_equal_numpy_and_scipy(name):
    result, target = pair()
    slot = metric(name)
    scores = slot.score(result, target)
    pairs = list(zip(result.astype(float), target.astype(float)))
    if "efficientnet" in name or "swav" in name:
        expected, kind = [correlation(a, b) for a, b in pairs], (False, False, None)
    elif "cos" in name:
        expected, kind = [1 - cosine(a, b) for a, b in pairs], (False, True, None)
    elif "100way" in name:
        expected, kind = metric("clip-100way@tiny").score(result, target), (True, True, 0.01)
    else:
        r = np.corrcoef(target, result)[:120, 120:]
        expected, kind = (r < np.diag(r)).sum(axis=0) / 119, (True, True, 0.5)
    np.testing.assert_allclose(scores, expected, atol=1e-12)
    assert (slot.pool, slot.higher_is_better, slot.chance) == kind


def test_labels_of_published_slots_are_distinct():
    strict = [strict_name(name) for name in two_way_names()]
    names = [*SLOTS, *PUBLISHED, *strict, "pixcorr", "ssim", "brain-diffuser-pixcorr", "brain-diffuser-ssim"]
    assert len({metric(name).label for name in names}) == len(names)


# Ties lost


def strict_name(name: str) -> str:
    """``-strict`` behind the network, before the family."""
    for family in ("-v2", "@tiny"):
        if name.endswith(family):
            return f"{name.removesuffix(family)}-strict{family}"
    return f"{name}-strict"


def two_way_names() -> list[str]:
    """Every installed metric of two-way identification in the whole pool, ties half."""
    metrics = {ref.name: metric(ref.name) for ref in plugins.available("metrics")}
    return sorted(
        name
        for name, two_way in metrics.items()
        if getattr(two_way, "candidates", 0) == 2 and not two_way.strict
    )


def with_copies(n=24, d=12):
    """Results and targets (n, d) of which a third of the targets are copies of another."""
    result, target = pair(n, d, noise=1.0)
    target[1::3] = target[0::3]
    return result, target


def test_every_two_way_metric_has_a_strict_variant():
    names = two_way_names()
    assert {"alexnet2", "clip-v2", "brain-diffuser-inception", "dinov2@tiny", "pixel-2way"} <= set(names)
    assert len(names) == 19
    for name in names:
        half, lost = metric(name), metric(strict_name(name))
        assert lost.backbone == half.backbone
        assert (lost.default, lost.strict, lost.chance, lost.pool) == (False, True, 0.5, True)
        assert lost.label != half.label


@pytest.mark.parametrize("name", ["alexnet2", "clip-v2", "brain-diffuser-clip", "inception@tiny"])
def test_ties_are_lost_by_name_and_half_a_win_without(name):
    """Two copies of one stimulus tie for every reconstruction."""
    result, target = with_copies()
    r = np.array([[np.corrcoef(row, reconstruction)[0, 1] for reconstruction in result] for row in target])
    wins = (r < np.diag(r)).sum(axis=0)
    ties = (r == np.diag(r)).sum(axis=0) - 1
    assert ties.sum() == 16
    half, lost = metric(name), metric(strict_name(name))
    np.testing.assert_allclose(lost.score(result, target), wins / 23, atol=1e-15)
    np.testing.assert_allclose(half.score(result, target), (wins + ties / 2) / 23, atol=1e-15)


def test_strict_variants_of_shuffled_controls_and_rivals():
    result, target = with_copies()
    lost, n = metric("clip-strict"), len(result)
    orders = np.stack([np.roll(np.arange(n), k) for k in (1, 5)])
    one_by_one = [lost.score(result[order], target) for order in orders]
    expected = np.mean(one_by_one, axis=0)
    np.testing.assert_allclose(lost.score_deranged(result, target, orders), expected, atol=1e-12)
    values, rivalry = lost.score(result, target, rivalry=True)
    np.testing.assert_array_equal(values, lost.score(result, target))
    jackknife = []  # N mean(v) - (N - 1) mean(v without i) is an image's value and its rivalry
    for k in range(n):
        rest = np.delete(np.arange(n), k)
        jackknife.append(n * values.mean() - (n - 1) * lost.score(result[rest], target[rest]).mean())
    centred = np.subtract(jackknife, np.mean(jackknife))
    np.testing.assert_allclose(values - values.mean() + rivalry, centred, atol=1e-12)


def test_one_picture_whatever_the_brain_says_wins_nothing_by_the_strict_count():
    target = pair(12)[1]
    same = np.repeat(target[:1], 12, axis=0)
    constant = np.full_like(target, 0.5)
    assert metric("clip").score(same, target).mean() == pytest.approx(0.5)
    assert (metric("clip").score(constant, target) == 0.5).all()
    assert (metric("clip-strict").score(constant, target) == 0).all()
    assert (metric("clip-strict").score(target, constant) == 0).all()


def test_a_run_counts_ties_as_its_metrics_say(harness, tmp_path, toy_words):
    """The control of flat grey images ties with everything."""
    words = [*toy_words]
    words[words.index("--metrics") + 1] = "pixel-2way,pixel-2way-strict"
    harness("run", *words, "--no-report")
    (file,) = tmp_path.glob("runs/*/scores.parquet")
    scores = pd.read_parquet(file)
    grey = scores[(scores.row == "flat-grey") & (scores.target == "stimulus")]
    assert (grey[grey.metric == "pixel-2way@1"].value == 0.5).all()
    assert (grey[grey.metric == "pixel-2way-strict@1"].value == 0).all()
    assert set(grey.metric) == {"pixel-2way@1", "pixel-2way-strict@1"}
    measured = scores[(scores.row == "measured") & (scores.target == "stimulus")]
    pivot = measured.pivot_table(index="image_id", columns="metric", values="value")
    assert (pivot["pixel-2way-strict@1"] <= pivot["pixel-2way@1"]).all()
    assert pivot["pixel-2way-strict@1"].mean() > 0.5


# Brain-Diffuser's pixel metrics


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Reconstructions (3, 512, 512, 3) and stimuli (3, 425, 425, 3), uint8."""
    generator = np.random.default_rng(4)
    coarse = generator.integers(30, 220, (3, 17, 17, 3))

    def noisy(repeat: int, size: int) -> np.ndarray:
        big = coarse.repeat(repeat, axis=1).repeat(repeat, axis=2)[:, :size, :size]
        return np.clip(big + generator.integers(-25, 25, (3, size, size, 3)), 0, 255).astype(np.uint8)

    return [noisy(31, 512), noisy(25, 425)]


def as_scripts_read(pictures):
    from PIL import Image

    reconstructions, true = pictures
    reconstructions = np.stack(
        [np.asarray(Image.fromarray(image).resize((425, 425))) for image in reconstructions]
    )
    return reconstructions / 255.0, true / 255.0


def test_brain_diffusers_pixcorr_equals_pillow_and_numpy(pictures):
    pixcorr = metric("brain-diffuser-pixcorr")
    scores = pixcorr.score(*(pixcorr.prepare(images) for images in pictures))
    reconstructions, true = as_scripts_read(pictures)
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(reconstructions, true)]
    np.testing.assert_allclose(scores, expected, atol=2e-6)
    grey = np.full((1, 64, 64, 3), 90, np.uint8)
    np.testing.assert_array_equal(pixcorr.score(pixcorr.prepare(grey), pixcorr.prepare(pictures[1][:1])), 0)


def test_brain_diffusers_ssim_is_that_of_columns_as_scikit_image_has_them(pictures):
    """0.17 took the last axis of a grey image for channels; channel_axis=-1 is the same today."""
    from skimage.color import rgb2gray
    from skimage.metrics import structural_similarity

    ssim = metric("brain-diffuser-ssim")
    scores = ssim.score(*(ssim.prepare(images) for images in pictures))
    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    pairs = [[rgb2gray(image) for image in images] for images in zip(*as_scripts_read(pictures))]
    columns = [structural_similarity(a, b, channel_axis=-1, **how) for a, b in pairs]
    np.testing.assert_allclose(scores, columns, atol=1e-5)
    planes = [structural_similarity(a, b, **how) for a, b in pairs]
    assert (np.abs(np.subtract(scores, planes)) > 0.01).all()


def test_brain_diffusers_pixels_take_floats_as_pictures(pictures):
    for name in ("brain-diffuser-pixcorr", "brain-diffuser-ssim"):
        pixels = metric(name)
        for images in pictures:
            exact, floats = pixels.prepare(images[:1]), pixels.prepare(images[:1] / np.float32(255))
            for key, values in exact.items():
                np.testing.assert_array_equal(values, floats[key])


def test_a_flag_finds_one_network_behind_two_preprocessings(monkeypatch):
    from types import SimpleNamespace

    from harness.run.flags import provenance

    shas = {"clip": "a", "clip-v1": "a", "swav-v1": "b"}
    monkeypatch.setattr(provenance, "_weights", shas.get)

    def score(name):
        slot = metric(name)
        return SimpleNamespace(metric=SimpleNamespace(load=lambda: slot, label=f"{name}@1"))

    (flag,) = provenance.shared_backbones([("clip", "image")], [score("clip"), score("swav")])
    assert "built on 'clip', which also scores clip@1:" in flag.message


# Look-alikes


def test_lookalikes_equal_brute_force():
    result, target = pair(40, noise=3.0)
    kind = np.random.default_rng(2).integers(0, 6, 40)
    kind[7] = 99  # alone of its kind
    r = np.corrcoef(target, result)[:40, 40:]
    scores = lookalike_two_way(result, target, kind=kind)
    for j in range(40):
        rivals = [i for i in range(40) if kind[i] == kind[j] and i != j]
        expected = np.mean([r[i, j] < r[j, j] for i in rivals]) if rivals else np.nan
        np.testing.assert_allclose(scores[j], expected)
    back = lookalike_two_way(result, target, kind=kind, choose="result")
    j = 3
    rivals = [i for i in range(40) if kind[i] == kind[j] and i != j]
    np.testing.assert_allclose(back[j], np.mean([r[j, i] < r[j, j] for i in rivals]))


def test_knowing_the_kind_alone_is_chance_among_lookalikes_but_not_in_two_way():
    """A decoder that outputs a typical image of the right kind."""
    generator = np.random.default_rng(0)
    kind = np.repeat(np.arange(20), 10)
    typical = generator.standard_normal((20, 50))
    target = typical[kind] + 0.7 * generator.standard_normal((200, 50))
    result = typical[kind] + 0.1 * generator.standard_normal((200, 50))
    assert metric_named("clip@tiny").score(result, target).mean() > 0.95
    assert abs(lookalike_two_way(result, target, kind=kind).mean() - 0.5) < 0.06
    exact = target + 0.1 * generator.standard_normal((200, 50))
    assert lookalike_two_way(exact, target, kind=kind).mean() > 0.99


def test_ties_among_lookalikes_count_half():
    target = np.random.default_rng(0).standard_normal((6, 9))
    same = np.repeat(target[:1] * 0 + 1.0, 6, axis=0)
    np.testing.assert_array_equal(lookalike_two_way(same, target, kind=np.zeros(6)), 0.5)
    np.testing.assert_array_equal(lookalike_two_way(same, target, kind=np.zeros(6), strict=True), 0.0)
    assert np.isnan(lookalike_two_way(same, target, kind=np.arange(6))).all()


def test_kinds_are_combinations_of_labels():
    labels = {
        "category": np.array(["cup", "cup", "car", "car", "cup"]),
        "background": np.array(["sea", "sky", "sea", "sea", "sea"]),
        "other": np.arange(5),
    }
    kind = kinds(labels, LOOKALIKE)
    assert kind[0] == kind[4] != kind[1]
    assert kind[2] == kind[3] != kind[0]
    assert len(set(kind)) == 3
    assert kinds({"category": labels["category"]}, LOOKALIKE) is None
    assert LOOKALIKE == ("category", "background")


def test_lookalike_errors_say_what_is_wrong():
    target = np.zeros((4, 3))
    with pytest.raises(DataError, match="4 reconstructions, 4 targets and 3 kinds; expected equal numbers"):
        lookalike_two_way(target, target, kind=np.zeros(3))
    with pytest.raises(DataError, match=r"different lengths \(category: 2, background: 3\)"):
        kinds({"category": np.zeros(2), "background": np.zeros(3)}, LOOKALIKE)
