"""Benchmark `embedded`: what a subject's data hold, units, prefixes, oracle, ridge on pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.api import Benchmark, ConfigError, Responses, SubjectData
from harness.benchmarks.embedded import SESSION_IMAGES, Embedded, Embedded2, Params
from harness.benchmarks.noise import RUN
from harness.stages.checks import check_subject

SUBJECT = "subj03"  # the fewest voxels
VERSION_1 = (-0.0023011, (0.976, -0.323, -0.726, 1.202, 0.284, -0.734, 1.435, -1.489))
"""Mean of all trials of six training and four test images, and the first of voxel 17: never to move."""


def _load(subject: str = SUBJECT, **params: int) -> SubjectData:
    return Embedded(Params(**params)).load(subject)


@pytest.fixture(scope="module")
def data() -> SubjectData:
    return _load(n_train=600, n_test=100)


@pytest.fixture(scope="module")
def wide() -> SubjectData:
    """Every test image."""
    return _load(n_train=10, n_test=1000)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    return (first * second).sum(axis=0) / np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))


def _oracle(data: SubjectData, responses: Responses) -> float:
    ceiling = data.space.noise_ceiling(responses.counts())
    r = _correlation(data.truth.mean().astype(float), responses.mean().astype(float))
    return float((np.clip(r, 0, None) ** 2 / ceiling).mean())


def test_it_is_a_benchmark_of_four_subjects() -> None:
    benchmark = Embedded(Params())
    assert isinstance(benchmark, Benchmark)
    assert benchmark.simulated
    assert benchmark.generated
    assert tuple(benchmark.subjects()) == ("subj01", "subj02", "subj03", "subj04")
    assert benchmark.params == Params(n_train=3000, n_test=100, repeats=3, seed=0)
    assert dataclasses.is_dataclass(Embedded.Params)


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("n_train", 0, "from 1 to 9000"),
        ("n_train", 9001, "from 1 to 9000"),
        ("n_test", 1001, "from 1 to 1000"),
        ("repeats", 0, "from 1 to 20"),
        ("repeats", 2.5, "from 1 to 20"),
        ("seed", -1, "from 0 to"),
        ("n_test", True, "from 1 to 1000"),
    ],
)
def test_impossible_parameters_are_refused(name: str, value: object, limit: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Params(**{name: value})
    message = str(caught.value)
    assert f"benchmark.{name} is {value!r}" in message
    assert limit in message
    assert f"--set benchmark.{name}=" in message
    assert "\n" not in message


def test_unknown_subject_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown subject .* 'subj1'; did you mean 'subj01'"):
        Embedded(Params()).load("subj1")


def test_a_subject_is_complete(data: SubjectData) -> None:
    check_subject(data)
    assert (data.space.dataset, data.space.subject, data.space.units) == (
        "embedded",
        SUBJECT,
        "zscore_session",
    )
    assert len(data.train) == 600
    assert data.test.stimuli.ids[7] == "test-00007"
    assert data.train.stimuli.ids[:1] == ("train-20000",)
    assert data.test.responses.data.shape == (300, data.space.n_voxels)
    assert (data.test.responses.counts() == 3).all()
    assert (data.remeasured.counts() == 3).all()
    assert data.truth.n_trials == 100
    assert data.test.stimuli.images().shape == (100, 64, 64, 3)
    for split in (data.train, data.test):
        labels = split.stimuli.labels
        assert set(labels) == {"category", "background"}
        for caption, category, background in zip(
            split.stimuli.captions, labels["category"], labels["background"]
        ):
            assert category in caption
            assert caption.endswith(f"in a {background} scene")
    names, counts = np.unique(data.test.stimuli.labels["category"], return_counts=True)
    assert len(names) == 10
    assert (counts == 10).all()


def test_responses_are_rounded_to_a_thousandth(data: SubjectData) -> None:
    for responses in (data.train.responses, data.test.responses, data.truth, data.remeasured):
        values = responses.data
        assert values.dtype == np.float32
        assert np.array_equal(values, (np.rint(values.astype(float) * 1000) / 1000).astype(np.float32))


def test_sessions_are_runs_of_trials_that_spread_the_repeats(data: SubjectData) -> None:
    for responses in (data.train.responses, data.test.responses, data.remeasured):
        assert (np.diff(responses.session) >= 0).all()
        for image in (0, 1, len(responses.ids) - 1):
            assert len(set(responses.session[responses.image_index == image])) == 3
    assert set(data.train.responses.session) == set(range(1, 3 * -(-600 // SESSION_IMAGES) + 1))
    assert set(data.test.responses.session) <= set(data.train.responses.session)
    assert not set(data.remeasured.session) & set(data.train.responses.session)
    _, counts = np.unique(data.train.responses.session, return_counts=True)
    assert counts.max() == SESSION_IMAGES


def test_smaller_benchmarks_are_prefixes_of_larger_ones(data: SubjectData) -> None:
    small = _load(n_train=600, n_test=50)
    ids = data.test.stimuli.ids[:50]
    assert small.test.stimuli.ids == ids
    assert small.test.stimuli.sha == data.test.stimuli.select(ids).sha
    for name in ("truth", "remeasured"):
        assert getattr(small, name).select(ids).sha == getattr(data, name).select(ids).sha
    assert small.test.responses.select(ids).sha == data.test.responses.select(ids).sha
    fewer = _load(n_train=270, n_test=1).train
    ids = fewer.stimuli.ids
    assert fewer.stimuli.sha == data.train.stimuli.select(ids).sha
    assert fewer.responses.select(ids).sha == data.train.responses.select(ids).sha
    once = _load(n_train=1, n_test=50, repeats=1)
    first = data.test.responses.repeats()[:50, 0]
    assert np.array_equal(once.test.responses.mean(), first)


def test_the_same_call_gives_the_same_data(data: SubjectData) -> None:
    again = _load(n_train=600, n_test=100)
    assert again.train.responses.sha == data.train.responses.sha
    assert again.test.stimuli.sha == data.test.stimuli.sha


def test_seed_changes_the_noise_only(data: SubjectData) -> None:
    other = _load(n_train=600, n_test=100, seed=1)
    assert other.space.sha == data.space.sha
    assert other.test.stimuli.sha == data.test.stimuli.sha
    assert other.train.stimuli.sha == data.train.stimuli.sha
    assert other.truth.sha == data.truth.sha
    residuals = [(d.test.responses.mean() - d.truth.mean()).ravel() for d in (data, other)]
    assert abs(np.corrcoef(residuals)[0, 1]) < 0.05
    assert not np.array_equal(other.train.responses.data, data.train.responses.data)


def test_remeasured_trials_share_the_signal_but_not_the_noise(data: SubjectData) -> None:
    truth = data.truth.mean()
    first, second = (r.mean() - truth for r in (data.test.responses, data.remeasured))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    expected = np.sqrt((1 - truth.var()) / 3)
    assert first.std() == pytest.approx(expected, rel=0.1)
    assert second.std() == pytest.approx(expected, rel=0.1)


def test_units_and_ceilings_are_what_they_say(data: SubjectData) -> None:
    _check_ceilings(data, agreement=0.97)


def _check_ceilings(data: SubjectData, *, agreement: float) -> None:
    """Allen et al. 2022: noise variance from the spread of repeats, signal variance from the rest."""
    trials = data.train.responses.repeats().astype(float)  # images, repeats, voxels
    total = trials.reshape(-1, trials.shape[-1]).var(axis=0)
    assert total.mean() == pytest.approx(1.0, abs=0.03)
    noise = trials.var(axis=1, ddof=1).mean(axis=0)
    signal = np.clip(trials.mean(axis=1).var(axis=0, ddof=1) - noise / 3, 0, None)
    declared = data.space.ncsnr
    share = declared**2 / (1 + declared**2)
    assert np.allclose(noise, 1 - share, rtol=0.2)
    assert noise.mean() == pytest.approx((1 - share).mean(), rel=0.02)
    estimated = np.sqrt(signal / noise)
    assert np.corrcoef(estimated, declared)[0, 1] > agreement
    clear = declared > 0.3
    assert np.median(estimated[clear] / declared[clear]) == pytest.approx(1.0, abs=0.04)


def test_every_session_has_the_same_units(data: SubjectData) -> None:
    """No gain or offset by session: mean 0 and variance 1 in each."""
    responses = data.train.responses
    for session in np.unique(responses.session):
        trials = responses.data[responses.session == session]
        assert abs(trials.mean()) < 0.08
        assert trials.var() == pytest.approx(1.0, abs=0.12)


def test_subjects_share_test_images_and_no_training_image(data: SubjectData) -> None:
    other = _load("subj01", n_train=40, n_test=20)
    ids = other.test.stimuli.ids
    assert other.test.stimuli.sha == data.test.stimuli.select(ids).sha
    assert not set(other.train.stimuli.ids) & set(data.train.stimuli.ids)
    assert not set(other.train.stimuli.image_hashes()) & set(data.train.stimuli.image_hashes())
    assert not set(data.test.stimuli.image_hashes()) & set(data.train.stimuli.image_hashes())
    assert other.space.sha != data.space.sha


def test_the_oracle_reaches_the_ceiling(wide: SubjectData) -> None:
    assert _oracle(wide, wide.test.responses) == pytest.approx(1.0, abs=0.03)
    single = wide.test.responses.repeats()[:, 0]
    ceiling = wide.space.noise_ceiling(np.ones(1))
    r = _correlation(wide.truth.mean().astype(float), single.astype(float))
    assert (np.clip(r, 0, None) ** 2 / ceiling).mean() == pytest.approx(1.0, abs=0.06)


def test_ridge_on_pixels_explains_something_but_far_from_all(data: SubjectData, wide: SubjectData) -> None:
    from sklearn.linear_model import Ridge

    def pixels(images: np.ndarray) -> np.ndarray:
        cells = images.reshape(len(images), 16, 4, 16, 4, 3).mean(axis=(2, 4))
        return cells.reshape(len(images), -1) / 255.0

    model = Ridge(alpha=100.0).fit(pixels(data.train.stimuli.images()), data.train.responses.mean())
    predicted = model.predict(pixels(wide.test.stimuli.images()))
    measured = wide.test.responses.mean()
    r = _correlation(predicted, measured)
    oracle = _correlation(wide.truth.mean(), measured)
    assert 0.12 < r.mean() < 0.6 * oracle.mean()
    groups = [r[members].mean() for members in wide.space.groups.values()]
    assert groups[0] > groups[2] + 0.1


def test_version_1_has_not_moved() -> None:
    """Responses are rounded, so that this holds on every machine."""
    data = _load(n_train=6, n_test=4)
    assert data.space.sha.startswith("f2b3c04603087161")
    values = np.concatenate([data.train.responses.data, data.test.responses.data]).astype(float)
    assert values.mean() == pytest.approx(VERSION_1[0], abs=1e-5)
    assert values[:8, 17].tolist() == pytest.approx(list(VERSION_1[1]), abs=0.0015)


@pytest.fixture(scope="module")
def second() -> SubjectData:
    """Version 2 of `data`."""
    return Embedded2(Params(n_train=600, n_test=100)).load(SUBJECT)


def test_version_2_shows_the_same_scenes_to_another_cortex(data: SubjectData, second: SubjectData) -> None:
    check_subject(second)
    assert second.space.dataset == "embedded@2"
    assert second.space.sha != data.space.sha
    for split in ("train", "test"):
        assert getattr(second, split).stimuli.sha == getattr(data, split).stimuli.sha
        assert getattr(second, split).responses.sha != getattr(data, split).responses.sha
    _check_ceilings(second, agreement=0.95)  # lower ceilings are known less well
    test_every_session_has_the_same_units(second)
    test_remeasured_trials_share_the_signal_but_not_the_noise(second)


def test_version_2_shows_test_images_of_a_run_in_one_session(second: SubjectData) -> None:
    responses = second.test.responses
    first = responses.session.reshape(-1)[np.argsort(responses.image_index, kind="stable")].reshape(-1, 3)
    runs = first.reshape(-1, RUN, 3)
    assert (runs == runs[:, :1]).all()
    assert all(len(set(sessions)) == 3 for sessions in first)
    noise = responses.data[np.argsort(responses.image_index, kind="stable")].astype(float)
    noise = (noise - np.repeat(second.truth.mean(), 3, axis=0)).reshape(-1, RUN, 3, noise.shape[1])
    assert (noise[:, 1:] * noise[:, :-1]).mean() / noise.var() > 0.2  # from trial to trial


def test_a_smaller_version_2_is_a_prefix_too(second: SubjectData) -> None:
    small = Embedded2(Params(n_train=270, n_test=30)).load(SUBJECT)
    ids = small.train.stimuli.ids
    assert small.train.responses.select(ids).sha == second.train.responses.select(ids).sha
    means = second.test.responses.select(small.test.stimuli.ids).mean()
    assert np.allclose(small.test.responses.mean(), means, atol=1e-6)


def test_versions_are_asked_for_by_name() -> None:
    from harness import plugins
    from harness.errors import PluginError

    refs = {name: plugins.find("benchmarks", name) for name in ("embedded", "embedded@1", "embedded@2")}
    for name in ("1", "2"):
        assert refs[f"embedded@{name}"].load().version == name
        assert refs[f"embedded@{name}"].unversioned == "embedded"
    with pytest.raises(
        PluginError, match=r"no version 3; type --benchmark embedded@1 or --benchmark embedded@2"
    ):
        plugins.find("benchmarks", "embedded@3")


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["subj01", "subj02", "subj03", "subj04"])
def test_full_size(subject: str) -> None:
    """9,000 and 1,000 images: no test image among the training images, oracle at the ceiling."""
    data = _load(subject, n_train=9000, n_test=1000)
    hashes = data.train.stimuli.image_hashes()
    assert len(set(hashes)) == 9000
    assert not set(hashes) & set(data.test.stimuli.image_hashes())
    for responses in (data.test.responses, data.remeasured):
        assert _oracle(data, responses) == pytest.approx(1.0, abs=0.03)
    check_subject(data)
