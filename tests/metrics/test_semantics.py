"""Agreement of categories and captions: Cohen's kappa and profile correlations, and what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from commands import TOYS
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import LABELLED
from sklearn.metrics import cohen_kappa_score

from harness.benchmarks.scenes import describe, draw
from harness.metrics.semantics import caption_agreement, categories, category_agreement
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.stages.extraction import open_backbone
from harness.storage.store import Store
from harness.storage.worker import forget

NAMES = ("category-agreement@tiny", "caption-agreement@tiny")


def problem(n=60, noise=1.0, seed=0):
    """Captions of five kinds, and two sets of images that resemble their captions."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 5, n) * 3
    captions = np.eye(5, 12)[kind // 3] + 0.2 * rng.normal(size=(n, 12))
    return captions, kind, *(captions + noise * rng.normal(size=(n, 12)) for _ in range(2))


def test_categories_are_those_of_the_nearest_mean_caption():
    captions, kind, images, _ = problem()
    unit = captions / np.linalg.norm(captions, axis=1, keepdims=True)
    expected = []
    for image in images:
        similar = {}
        for category in set(kind.tolist()):
            mean = unit[kind == category].mean(axis=0)
            similar[category] = image @ mean / np.linalg.norm(mean) / np.linalg.norm(image)
        expected.append(max(similar, key=similar.get))
    np.testing.assert_array_equal(categories(images, captions, kind), expected)
    np.testing.assert_array_equal(categories(captions, 7 * captions, kind), kind)


@settings(max_examples=25, deadline=None)
@given(noise=st.floats(0.1, 5), seed=st.integers(0, 99))
def test_the_mean_is_cohens_kappa(noise, seed):
    captions, kind, first, second = problem(noise=noise, seed=seed)
    shown = [categories(rows, captions, kind) for rows in (first, second)]
    values = category_agreement(first, second, captions=captions, kind=kind)
    assert values.mean() == pytest.approx(cohen_kappa_score(*shown))
    again = category_agreement(second, first, captions=captions, kind=kind)
    np.testing.assert_allclose(values, again)
    order = np.random.default_rng(seed).permutation(len(kind))
    moved = category_agreement(first[order], second[order], captions=captions, kind=kind)
    np.testing.assert_allclose(moved, values[order])


def test_one_picture_for_all_agrees_by_chance_only():
    captions, kind, images, _ = problem()
    same = np.tile(images[:1], (len(images), 1))
    assert category_agreement(same, images, captions=captions, kind=kind).mean() == pytest.approx(
        0, abs=1e-12
    )
    assert np.isnan(category_agreement(same, same, captions=captions, kind=kind)).all()
    assert (caption_agreement(same, images, captions=captions) == 0).all()
    np.testing.assert_allclose(category_agreement(images, images, captions=captions, kind=kind), 1)
    np.testing.assert_allclose(caption_agreement(images, images, captions=captions), 1)


def test_caption_profiles_are_correlated_about_the_pools_mean():
    captions, _, first, second = problem()
    profiles = []
    for rows in (first, second):
        cosines = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in captions] for a in rows])
        profiles.append(cosines - cosines.mean(axis=0))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(*profiles)]
    np.testing.assert_allclose(caption_agreement(first, second, captions=captions), expected)


def test_a_row_with_nan_is_not_scored_and_changes_no_other():
    captions, kind, first, second = problem()
    spoilt = first.copy()
    spoilt[4, 2] = np.nan
    rest = np.arange(60) != 4
    agreement = category_agreement(spoilt, second, captions=captions, kind=kind)
    assert np.isnan(agreement[4])
    # The captions stay those of all images.
    shown = [categories(rows[rest], captions, kind) for rows in (first, second)]
    assert agreement[rest].mean() == pytest.approx(cohen_kappa_score(*shown))
    profiles = caption_agreement(spoilt, second, captions=captions)
    assert np.isnan(profiles[4])
    assert np.isfinite(profiles[rest]).all()


def test_the_network_reads_drawn_scenes():
    shown = describe("test", range(150))
    backbone = open_backbone("clip@tiny", device="cpu")
    images = backbone.extract(draw("test", range(150)), ["image"])["image"]
    captions = backbone.extract_text([scene.caption for scene in shown])
    kind = np.unique([scene.category for scene in shown], return_inverse=True)[1]
    right = (categories(images, captions, kind) == kind).mean()
    assert right > 3 / len(np.unique(kind))
    moved = np.roll(images, 1, axis=0)
    for score, more in ((category_agreement, {"kind": kind}), (caption_agreement, {})):
        assert score(images, images, captions=captions, **more).mean() == pytest.approx(1)
        assert abs(score(moved, images, captions=captions, **more).mean()) < 0.15


CAPTIONED = """

class Captioned(Labelled):
    def load(self, subject):
        data = super().load(subject)
        test = data.test
        captions = ["a large green house in a sea scene", "a small red fish on the left"]
        stimuli = Stimuli.from_array(
            test.stimuli.ids,
            test.stimuli.images(),
            labels=test.stimuli.labels,
            captions=[captions[k % 2] + " and a car" * (k // 2) for k in range(len(test))],
        )
        return replace(data, test=Split(stimuli, test.responses))
"""


def run(folder, benchmark):
    file = folder / "captioned.py"
    file.write_text(LABELLED.format(toys=str(TOYS.parent)) + CAPTIONED)
    forget()
    request = Request(
        benchmark=f"{file}:{benchmark}",
        encoder=f"{TOYS}:ToyEncoder",
        decoder=f"{TOYS}:ToyDecoder",
        values={"run": {"metrics": [*NAMES, "pixcorr"], "derangements": 3}, "benchmark": {"n_test": 13}},
    )
    return run_plan(make_plan(request), Store(folder / "store"))


def test_a_run_scores_them_against_stimuli_and_measured_reconstructions(tmp_path):
    outcome = run(tmp_path, "Captioned")
    assert outcome.scored.failures == []
    assert outcome.scored.left_out == []
    stimuli = outcome.data.test.stimuli
    backbone = open_backbone("clip@tiny", device="cpu")
    captions = backbone.extract_text(stimuli.captions)
    kind = np.unique(stimuli.labels["category"], return_inverse=True)[1]

    def features(images):
        return backbone.extract(images.images(), ["image"])["image"]

    scored = {
        (s.metric.ref.name, s.images.row, s.target): s for s in outcome.scored.images if s.images.sample == 0
    }
    for target in ("stimulus", "measured"):
        category, caption = (scored[name, "predicted", target] for name in NAMES)
        pair = features(category.images.images), features(category.images.target(target))
        expected = category_agreement(*pair, captions=captions, kind=kind)
        np.testing.assert_allclose(category.values, expected)
        np.testing.assert_allclose(caption.values, caption_agreement(*pair, captions=captions), atol=1e-6)
    assert np.isfinite(scored[NAMES[1], "shuffled", "stimulus"].values).all()


def test_without_captions_they_are_left_out_and_say_why(tmp_path):
    outcome = run(tmp_path, "Labelled")
    assert dict(outcome.scored.left_out) == dict.fromkeys(NAMES, "the stimuli have no captions")
    assert outcome.scored.failures == []
    assert "pixcorr" in {score.metric.ref.name for score in outcome.scored.images}
