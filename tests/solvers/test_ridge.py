"""The ridge solvers: against himalaya, scikit-learn and each other."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, DataError
from harness.solvers import ridge_dual, ridge_primal
from harness.solvers.ridge import RidgeModel, fit_ridge, fold_numbers

GRID = tuple(10.0**k for k in range(-2, 6))


def problem(n: int, p: int, v: int = 30, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features of unequal scale and offset; targets from pure noise to nearly noise-free."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p)) * rng.uniform(0.1, 5, p) + 7
    signal = (features - 7) @ rng.normal(size=(p, v))
    targets = signal / signal.std(axis=0) * np.linspace(0, 3, v) + rng.normal(size=(n, v)) + 3
    return features.astype(np.float32), targets.astype(np.float32), [f"image-{k}" for k in range(n)]


def standardised(features: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    x = features.astype(np.float64)
    mean = np.average(x, axis=0, weights=weight)
    return (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).std())


@pytest.mark.parametrize("solver", ["primal", "dual"])
@pytest.mark.parametrize(("n", "p"), [(120, 25), (60, 150)])
@pytest.mark.parametrize("blocks", [False, True])
def test_equals_himalaya_on_the_same_folds(n, p, solver, blocks, monkeypatch):
    """Without weights, himalaya's intercept is ours: the same penalties, the same predictions."""
    from himalaya.kernel_ridge import KernelRidgeCV
    from sklearn.model_selection import PredefinedSplit

    if blocks:  # several of each, unequal
        monkeypatch.setattr(ridge_primal, "TARGET_BLOCK", 7)
        monkeypatch.setattr(ridge_primal, "ROW_BLOCK", 11)
        monkeypatch.setattr(ridge_dual, "FEATURE_BLOCK", 13)
        monkeypatch.setattr(ridge_dual, "WORKING_NUMBERS", 17 * n)
        monkeypatch.setattr(ridge_dual, "PREDICTED_NUMBERS", 4 * n)
    features, targets, ids = problem(n, p)
    model = fit_ridge(features, targets, ids=ids, penalties=GRID, folds=4, seed=3, solver=solver)
    cv = PredefinedSplit(fold_numbers(ids, 4, seed=3))
    reference = KernelRidgeCV(alphas=GRID, cv=cv, fit_intercept=True, warn=False)
    reference.fit(standardised(features), targets.astype(np.float64))
    np.testing.assert_allclose(model.penalties, reference.best_alphas_, rtol=1e-9)
    assert len(np.unique(model.penalties)) > 2
    assert relative(model.predict(features), reference.predict(standardised(features))) < 1e-4


@pytest.mark.parametrize("solver", ["primal", "dual"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("standardise", [False, True])
def test_equals_scikit_learn_at_fixed_penalty(solver, weighted, standardise):
    from sklearn.linear_model import Ridge

    features, targets, ids = problem(50, 20)
    new = problem(15, 20, seed=1)[0]
    weight = np.random.default_rng(2).integers(1, 4, 50) if weighted else None
    model = fit_ridge(
        *(features, targets),
        ids=ids,
        penalties=(30.0,),
        sample_weight=weight,
        standardise=standardise,
        solver=solver,
    )
    mean = np.average(features.astype(np.float64), axis=0, weights=weight)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight)) if standardise else 1.0
    share = None if weight is None else weight / weight.mean()
    reference = Ridge(alpha=30.0, solver="cholesky").fit((features - mean) / scale, targets, share)
    assert relative(model.predict(new), reference.predict((new - mean) / scale)) < 1e-4
    assert np.isnan(model.cv_r2).all()


@pytest.mark.parametrize("solver", ["primal", "dual"])
@pytest.mark.parametrize(("n", "p"), [(90, 12), (40, 80)])
def test_weighted_selection_equals_brute_force(n, p, solver):
    """Unequal weights, where himalaya's intercept would be another one: every fold by hand."""
    from sklearn.linear_model import Ridge

    features, targets, ids = problem(n, p, 12)
    weight = np.random.default_rng(5).integers(1, 6, n).astype(np.float64)
    model = fit_ridge(
        features, targets, ids=ids, penalties=GRID, folds=4, sample_weight=weight, solver=solver
    )
    x, share, fold = standardised(features, weight), weight / weight.mean(), fold_numbers(ids, 4)
    error = np.zeros((len(GRID), targets.shape[1]))
    for k in range(4):
        train, held = fold != k, fold == k
        for a, penalty in enumerate(GRID):
            fitted = Ridge(alpha=penalty, solver="cholesky").fit(x[train], targets[train], share[train])
            residual = (targets[held] - fitted.predict(x[held])) ** 2
            error[a] += np.average(residual, axis=0, weights=share[held])
    np.testing.assert_array_equal(model.penalties, np.array(GRID)[error.argmin(axis=0)])


def test_repeats_as_weights_equal_repeated_rows():
    """A row of weight 3 is a row that occurs three times (penalty scaled by the mean weight)."""
    features, targets, ids = problem(40, 10)
    counts = np.tile([1, 3], 20)
    weighted = fit_ridge(features, targets, ids=ids, penalties=(10.0,), sample_weight=counts)
    again = np.repeat(np.arange(40), counts)
    repeated = fit_ridge(
        *(features[again], targets[again]), ids=[str(k) for k in range(80)], penalties=(10.0 * counts.mean(),)
    )
    np.testing.assert_allclose(weighted.predict(features), repeated.predict(features), atol=2e-5)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(12, 40), p=st.integers(1, 60), seed=st.integers(0, 99), weighted=st.booleans())
def test_primal_equals_dual(n, p, seed, weighted):
    features, targets, ids = problem(n, p, 6, seed=seed)
    weight = np.random.default_rng(seed).uniform(0.5, 3, n) if weighted else None
    fits = [
        fit_ridge(
            features, targets, ids=ids, penalties=(1.0, 100.0, 1e4), folds=3, sample_weight=weight, solver=s
        )
        for s in ("primal", "dual")
    ]
    np.testing.assert_array_equal(fits[0].penalties, fits[1].penalties)
    assert relative(fits[0].predict(features), fits[1].predict(features)) < 1e-4
    np.testing.assert_allclose(fits[0].cv_r2, fits[1].cv_r2, atol=1e-4)


def test_penalties_follow_the_signal_and_beat_any_shared_one():
    features, targets, ids = problem(200, 20, 40, seed=4)
    model = fit_ridge(features, targets, ids=ids, penalties=GRID)
    assert model.penalties[:3].mean() > 50 * model.penalties[-3:].mean()
    shared = fit_ridge(features, targets, ids=ids, penalties=GRID, shared_penalty=True)
    assert len(np.unique(shared.penalties)) == 1
    assert (model.cv_r2 >= shared.cv_r2 - 1e-6).all()
    assert np.nanmean(model.cv_r2) > np.nanmean(shared.cv_r2)
    assert model.cv_r2[0] < 0.05
    assert model.cv_r2[-1] > 0.85


def test_constant_columns_and_targets_are_harmless():
    features, targets, ids = problem(40, 10, 5)
    features[:, 3], targets[:, 2] = 0.1, -2.5
    for solver in ("primal", "dual"):
        model = fit_ridge(features, targets, ids=ids, penalties=GRID, solver=solver)
        moved = features.copy()
        moved[:, 3] = 1e6
        np.testing.assert_array_equal(model.predict(moved), model.predict(features))
        np.testing.assert_allclose(model.predict(features)[:, 2], -2.5, atol=1e-6)
        assert model.penalties[2] == max(GRID)
        assert np.isnan(model.cv_r2[2])


def test_edges_are_counted_and_reported(caplog):
    features, targets, ids = problem(200, 20, 40)
    with caplog.at_level(logging.WARNING):
        narrow = fit_ridge(features, targets, ids=ids, penalties=(3000.0, 10000.0))
    assert set(narrow.penalties) <= {3000.0, 10000.0}
    assert (narrow.penalties == 3000.0).sum() > 20
    assert "chose the smallest penalty, 3000" in caplog.text
    caplog.clear()
    fit_ridge(features, targets[:, 10:], ids=ids, penalties=GRID)
    assert not caplog.records


@pytest.mark.parametrize(("n", "p", "v"), [(40, 9, 6), (20, 30, 6), (20, 300, 100)])
def test_saved_model_predicts_the_same_bytes(n, p, v, tmp_path):
    features, targets, ids = problem(n, p, v)
    model = fit_ridge(features, targets, ids=ids, folds=3)
    assert (model.basis is not None) == (p == 300)  # kept only where smaller than (p, V)
    model.save(tmp_path / "ridge.safetensors")
    again = RidgeModel.load(tmp_path / "ridge.safetensors")
    assert again.predict(features).tobytes() == model.predict(features).tobytes()
    assert all(np.array_equal(vars(again)[name], value) for name, value in vars(model).items())
    parts = np.concatenate([model.predict(features[:7]), model.predict(features[7:])])
    np.testing.assert_allclose(parts, model.predict(features), rtol=1e-4, atol=1e-5)


def test_a_torn_model_is_refused(tmp_path):
    features, targets, ids = problem(20, 5)
    fit_ridge(features, targets, ids=ids, folds=3).save(tmp_path / "ridge.safetensors")
    whole = (tmp_path / "ridge.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x80\x04nothing"):
        (tmp_path / "ridge.safetensors").write_bytes(content)
        with pytest.raises(DataError, match=r"is not a saved ridge model .* fit it again"):
            RidgeModel.load(tmp_path / "ridge.safetensors")


def test_folds_are_even_deterministic_and_do_not_follow_the_order():
    ids = [f"image-{k:03d}" for k in range(103)]
    fold = fold_numbers(ids, 5, seed=1)
    assert np.ptp(np.bincount(fold)) <= 1
    shuffled = np.random.default_rng(0).permutation(103)
    np.testing.assert_array_equal(fold_numbers([ids[k] for k in shuffled], 5, seed=1), fold[shuffled])
    assert (fold_numbers(ids, 5, seed=2) != fold).any()
    assert (np.diff(fold) < 0).any()
    contiguous = fold_numbers(ids, 5, by="position")
    assert (np.diff(contiguous) >= 0).all()
    assert np.ptp(np.bincount(contiguous)) <= 1


def test_himalaya_keeps_its_backend_even_after_an_error(monkeypatch):
    from himalaya.backend import get_backend, set_backend

    before = get_backend().name
    try:
        set_backend("torch")
        features, targets, ids = problem(20, 30)
        fit_ridge(features, targets, ids=ids, folds=3, solver="dual")
        assert get_backend().name == "torch"
        seen = []

        def fail(*_, **__):
            seen.append(get_backend().name)
            raise MemoryError("as eigh does")

        monkeypatch.setattr("himalaya.kernel_ridge.solve_multiple_kernel_ridge_random_search", fail)
        with pytest.raises(MemoryError):
            fit_ridge(features, targets, ids=ids, folds=3, solver="dual")
        assert seen == ["numpy"]
        assert get_backend().name == "torch"
    finally:
        set_backend(before)


def test_bad_input_is_one_line():
    features, targets, ids = problem(20, 5)
    torn = targets.copy()
    torn[4, 1] = np.nan
    with pytest.raises(DataError, match="targets of image 'image-4' hold NaN"):
        fit_ridge(features, torn, ids=ids)
    with pytest.raises(DataError, match=r"features have shape \(19, 5\); expected \(20 images"):
        fit_ridge(features[1:], targets, ids=ids)
    with pytest.raises(ConfigError, match="11 folds for 20 training images; expected folds from 2 to 10"):
        fit_ridge(features, targets, ids=ids, folds=11)
    with pytest.raises(DataError, match="3 training images are too few"):
        fit_ridge(features[:3], targets[:3], ids=ids[:3])
    with pytest.raises(ConfigError, match="expected positive numbers"):
        fit_ridge(features, targets, ids=ids, penalties=(0.0, 1.0))
    with pytest.raises(DataError, match="sample_weight must be 20 positive numbers"):
        fit_ridge(features, targets, ids=ids, sample_weight=np.zeros(20))
    with pytest.raises(ConfigError, match="expected 'id' or 'position'"):
        fit_ridge(features, targets, ids=ids, fold_by="session")
    model = fit_ridge(features, targets, ids=ids, folds=3)
    with pytest.raises(DataError, match=r"fitted on 5 features per image; given an array of shape \(20, 4\)"):
        model.predict(features[:, :4])


def test_images_of_equal_content_share_a_fold():
    ids = [f"image-{k:02d}" for k in range(40)]
    plain = fold_numbers(ids, 5, seed=3)
    assert np.array_equal(fold_numbers(ids, 5, seed=3, contents=ids), plain)
    contents = [f"content-{k % 35}" for k in range(40)]
    fold = fold_numbers(ids, 5, seed=3, contents=contents)
    assert np.array_equal(fold[:5], fold[35:])
    assert np.array_equal(fold[5:35], plain[5:35])
    assert set(fold) == set(range(5))
    assert (plain[:5] != plain[35:]).any()


def test_whoever_cuts_folds_says_which_images_are_equal():
    """Every call in the product names `contents`, so that no door puts copies on both sides."""
    root = Path(__file__).parents[2]
    calls = {}
    for folder in ("harness", "encoders", "decoders", "benchmarks"):
        for file in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("fit_ridge", "fold_numbers"):
                    named = {keyword.arg for keyword in node.keywords}
                    calls[f"{file.relative_to(root)}:{node.lineno}"] = "contents" in named
    assert len(calls) >= 4
    assert all(calls.values()), calls
