"""Decoded agreement: who is rewarded, on a simulated cortex with a ridge decoder."""

import numpy as np
import pytest
from commands import HELPERS, only_run
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named

from harness.metrics.agreement import (
    agreement,
    controlled_agreement,
)

D, TEXTURES, VOXELS = 192, 80, 300


class ToyCortex:
    """Linear in D visible stimulus features and in textures that the features do not show.

    Stimulus components fall off as 1/k, about as natural images reduced to 8 x 8 do.  The decoder
    is a ridge from measured responses to the features.
    """

    def __init__(self, seed, n_train=1200):
        self.generator = np.random.default_rng(seed)
        self.rotation = np.linalg.qr(self.normal(D, D))[0]
        self.visible = 0.5 * self.normal(D, VOXELS)
        self.hidden = 0.5 * self.normal(TEXTURES, VOXELS) / np.sqrt(TEXTURES)
        features, _, signal = self.show(n_train)
        responses = self.measure(signal)
        self.mean, self.offset = responses.mean(axis=0), features.mean(axis=0)
        x, s = responses - self.mean, features - self.offset
        penalty = 0.3 * n_train * np.eye(VOXELS)
        self.decoder = np.linalg.solve(x.T @ x + penalty, x.T @ s)
        self.encoder = np.linalg.solve(s.T @ s + 20 * np.eye(D), s.T @ x)  # sees the features only

    def normal(self, *shape):
        return self.generator.standard_normal(shape)

    def show(self, n):
        """Features (n, D), textures and noise-free signal (n, V) of n new images."""
        features = (self.normal(n, D) / np.arange(1, D + 1)) @ self.rotation.T
        textures = self.normal(n, TEXTURES)
        return features, textures, features @ self.rotation @ self.visible + textures @ self.hidden

    def measure(self, signal):
        """Signal (n, V) with the noise of three repeats."""
        return signal + 1.6 / np.sqrt(3) * self.normal(*signal.shape)

    def decode(self, responses):
        return (responses - self.mean) @ self.decoder + self.offset

    def test(self, n, seed):
        """Features, and name -> decoded features (n, D), drawn from `seed`."""
        self.generator = np.random.default_rng(seed)
        features, _, signal = self.show(n)
        s = features - self.offset
        rows = {
            "measured": self.measure(signal),
            "remeasured": self.measure(signal),
            "truth": signal,
            "pixels": s @ self.encoder + self.mean,
            "cheat": s @ np.linalg.pinv(self.decoder) + self.mean,
        }
        return features, {name: self.decode(responses) for name, responses in rows.items()}


@pytest.fixture(scope="module")
def cortex():
    return ToyCortex(seed=1)


def row_correlations(x, y):
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y)])


@pytest.mark.parametrize("n", [100, 1000])
def test_the_decoders_inverse_decodes_best_and_agrees_with_nobody(cortex, n):
    stimulus, rows = cortex.test(n, seed=0)
    decoded = {name: row_correlations(responses, stimulus).mean() for name, responses in rows.items()}
    assert decoded["cheat"] > decoded["truth"] > decoded["measured"]
    assert decoded["pixels"] > decoded["measured"]
    plain = {name: agreement(responses, rows["measured"]).mean() for name, responses in rows.items()}
    controlled = {
        name: controlled_agreement(responses, rows["measured"], stimulus).mean()
        for name, responses in rows.items()
    }
    assert min(plain.values()) > 0.8  # the stimulus, which everything contains
    assert abs(controlled["cheat"]) < 0.05
    assert abs(controlled["pixels"]) < 0.05
    assert controlled["truth"] > 0.2
    assert controlled["truth"] > controlled["remeasured"] > (0.05 if n == 1000 else 0)
    assert controlled["measured"] == pytest.approx(1.0)


def test_confining_the_comparison_is_what_keeps_a_small_pool_honest(cortex):
    """With a flatter spectrum and N < D, plain least squares on N/2 components is fooled."""
    stimulus, _ = cortex.test(100, seed=0)
    flat = stimulus @ cortex.rotation * np.arange(1, D + 1) ** 0.5
    measured = flat + 0.3 * cortex.normal(100, D)
    left, _, _ = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    residuals = [x - x.mean(axis=0) for x in (flat, measured)]
    residuals = [x - left[:, :50] @ (left[:, :50].T @ x) for x in residuals]
    naive = np.einsum("nd,nd->n", *residuals) / np.prod(
        [np.linalg.norm(x, axis=1) for x in residuals], axis=0
    )
    assert naive.mean() > 0.1
    assert np.array_equal(controlled_agreement(flat, measured, flat), np.zeros(100))


def test_intervals_over_images_are_as_wide_as_pools_scatter(cortex):
    means, widths = [], []
    for seed in range(30):
        stimulus, rows = cortex.test(100, seed)
        values = controlled_agreement(rows["truth"], rows["measured"], stimulus)
        means.append(values.mean())
        widths.append(values.std(ddof=1) / 10)
    assert 0.7 < np.mean(widths) / np.std(means, ddof=1) < 1.5


def test_full_control_is_the_cosine_of_least_squares_residuals():
    generator = np.random.default_rng(0)
    n, d = 60, 5
    stimulus = generator.standard_normal((n, d))
    result, target = (stimulus @ generator.standard_normal((d, 7)) for _ in range(2))
    result, target = (x + generator.standard_normal((n, 7)) for x in (result, target))
    design = np.column_stack([np.ones(n), stimulus])
    first, second = (x - design @ np.linalg.lstsq(design, x)[0] for x in (result, target))
    cosines = (first * second).sum(axis=1)
    cosines /= np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    expected = cosines.mean() + (cosines - cosines.mean()) * np.sqrt(n / (n - 1 - d))
    np.testing.assert_allclose(controlled_agreement(result, target, stimulus), expected, atol=1e-10)


def test_agreement_is_the_correlation_after_the_pool_means():
    generator = np.random.default_rng(0)
    result, target = generator.standard_normal((2, 30, 8)) + 4
    expected = row_correlations(result - result.mean(axis=0), target - target.mean(axis=0))
    np.testing.assert_allclose(agreement(result, target), expected, atol=1e-12)


@given(seed=st.integers(0, 10_000), n=st.integers(8, 60), d=st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_invariances(seed, n, d):
    generator = np.random.default_rng(seed)
    result, target, stimulus = generator.standard_normal((3, n, d))
    values = controlled_agreement(result, target, stimulus)
    order = generator.permutation(n)
    moved = controlled_agreement(result[order], target[order], stimulus[order])
    np.testing.assert_allclose(moved, values[order], atol=1e-8)
    np.testing.assert_allclose(controlled_agreement(3 * result - 1, target, stimulus), values, atol=1e-8)
    np.testing.assert_allclose(controlled_agreement(target, result, stimulus), values, atol=1e-10)
    explained = controlled_agreement(result + 5 * stimulus, target, stimulus)
    if d <= 2 * n // 3:  # all of the stimulus is removed, whatever its share
        np.testing.assert_allclose(explained, values, atol=1e-6)
    linear = stimulus @ generator.standard_normal((d, d)) if d <= 2 * n // 3 else 2 * stimulus
    assert np.array_equal(controlled_agreement(linear, target, stimulus), np.zeros(n))
    np.testing.assert_allclose(agreement(result + 7, 2 * target), agreement(result, target), atol=1e-10)


def test_one_image_for_all_agrees_with_nothing():
    generator = np.random.default_rng(0)
    target, stimulus = generator.random((2, 20, 12), np.float32)
    constant = np.full((20, 12), np.float32(0.1))
    assert np.array_equal(agreement(constant, target), np.zeros(20))
    assert np.array_equal(controlled_agreement(constant, target, stimulus), np.zeros(20))
    assert np.isnan(controlled_agreement(target, target, constant)).all()


def test_pools_too_small_and_rows_with_nan_are_not_scored():
    generator = np.random.default_rng(0)
    result, target, stimulus = generator.standard_normal((3, 9, 4))
    assert np.isnan(controlled_agreement(result[:7], target[:7], stimulus[:7])).all()
    assert np.isfinite(controlled_agreement(result[:8], target[:8], stimulus[:8])).all()
    assert np.isnan(agreement(result[:1], target[:1])).all()
    rest = [k for k in range(9) if k != 3]
    broken = result.copy()
    broken[3, 1] = np.nan
    values = controlled_agreement(broken, target, stimulus)
    assert np.isnan(values[3])
    assert np.array_equal(values[rest], controlled_agreement(result[rest], target[rest], stimulus[rest]))
    assert np.flatnonzero(np.isnan(agreement(target, broken))).tolist() == [3]


def test_the_metrics_are_these_functions():
    generator = np.random.default_rng(0)
    result, target, stimulus = generator.standard_normal((3, 20, 6))
    assert np.array_equal(metric_named("decoded-agreement").score(result, target), agreement(result, target))
    scores = metric_named("decoded-agreement-controlled").score(result, target, stimulus=stimulus)
    assert np.array_equal(scores, controlled_agreement(result, target, stimulus))
    assert metric_named("decoded-agreement-controlled").gets == ("stimulus", "rendered")
    assert metric_named("decoded-agreement").gets == ()


def test_what_the_decoder_makes_of_the_true_stimulus_is_no_agreement():
    generator = np.random.default_rng(5)
    stimulus = generator.standard_normal((60, 8))
    rendered = np.tanh(2 * stimulus**2) + 0.1 * generator.standard_normal((60, 8))  # no linear function of it
    brain = rendered + 0.5 * generator.standard_normal((60, 8))
    assert controlled_agreement(rendered, brain, stimulus).mean() > 0.5
    assert not controlled_agreement(rendered, brain, stimulus, rendered).any()
    # What is in both beside it stays, as one more regression by hand has it.
    other = brain + 0.2 * generator.standard_normal((60, 8))
    design = np.column_stack([np.ones(60), stimulus])
    left = [
        patterns - design @ np.linalg.lstsq(design, patterns, rcond=None)[0]
        for patterns in (other, brain, rendered)
    ]
    left = [
        residual - left[2] * np.vdot(residual, left[2]) / np.vdot(left[2], left[2]) for residual in left[:2]
    ]
    cosine = (left[0] * left[1]).sum(1) / np.linalg.norm(left[0], axis=1) / np.linalg.norm(left[1], axis=1)
    scores = controlled_agreement(other, brain, stimulus, rendered)
    assert scores.mean() == pytest.approx(cosine.mean(), abs=1e-12)
    assert scores.mean() > 0.5


def test_a_decoders_noise_is_no_agreement(harness, tmp_path, toy_words):
    """A decoder that draws by its seeds alone: every row is the same image, and none of it is the brain's."""
    tests = str(HELPERS)
    (tmp_path / "noisy.py").write_text(
        f"import sys; sys.path.insert(0, {tests!r})\n"
        "import numpy as np\n"
        "from harness.api import Decoded\n"
        "from toys import SIDE, ToyDecoder\n"
        "class Noisy(ToyDecoder):\n"
        "    stochastic = True\n"
        "    def decode(self, responses, *, seeds):\n"
        "        made = [np.random.default_rng(int(s)).random((1, SIDE, SIDE, 3)) for s in seeds]\n"
        "        return Decoded(np.stack(made).astype(np.float32))\n"
    )
    words = ["--decoder", "noisy.py:Noisy", "--set", "benchmark.n_test=64", "--no-report"]
    harness(*("run", *toy_words, "--metrics", "decoded-agreement,decoded-agreement-controlled"), *words)
    table = only_run(tmp_path).scores
    means = table[table.target == "measured"].groupby(["metric", "row"]).value.mean()
    assert means["decoded-agreement@1", "predicted"] == pytest.approx(1)
    assert abs(means["decoded-agreement-controlled@2", "predicted"]) < 0.1  # 64 images, SE 0.02
