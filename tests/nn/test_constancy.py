"""What varies by no more than rounding is constant, whoever asks; what varies a little more is not."""

from __future__ import annotations

import numpy as np
import pytest

from harness.benchmarks.paired_responses import ResponseTable, measure
from harness.data import Responses, VoxelSpace
from harness.encoders.common.training_data import VoxelScale, moments
from harness.errors import DataError
from harness.metrics.correlations import Rows
from harness.metrics.encoding import voxel_r
from harness.metrics.moments import Moments
from harness.nn.constancy import constant_columns, is_constant
from harness.reading.arrays import MemoryArray
from harness.rows.adapters import fit_adapter
from harness.solvers.nearest import nearest_with_r
from harness.solvers.ridge import fit_ridge
from harness.stages.checks import check_constant

N, COLUMN = 60, 1
IDS = [f"i{k}" for k in range(N)]
STEPS = np.random.default_rng(0).integers(0, 2, N)
ROUNDING = (np.float32(14.62) + STEPS * np.spacing(np.float32(14.62))).astype(np.float32)
"""Two neighbouring float32 numbers: what is left of a constant."""
SMALL = (14.62 + 1e-3 * STEPS).astype(np.float32)
"""An SD of 3e-5 of the root mean square: a signal."""


def columns(column: np.ndarray) -> np.ndarray:
    """(N, 3) normal values with `column` as the second."""
    values = np.random.default_rng(1).normal(size=(N, 3)).astype(np.float32)
    values[:, COLUMN] = column
    return values


def responses(values: np.ndarray) -> Responses:
    space = VoxelSpace("toy", "s", "all", values.shape[1], "raw", "sha")
    return Responses.single(space, [f"i{k}" for k in range(len(values))], values)


def in_ridge_features(solver: str, standardise: bool):
    def gains(values: np.ndarray) -> np.ndarray:
        targets = values[:, :1] + 0
        options = {"ids": IDS, "solver": solver, "standardise": standardise}
        return fit_ridge(values, targets, **options).feature_gain == 0

    return gains


def in_ridge_targets(values: np.ndarray) -> np.ndarray:
    features = np.random.default_rng(2).normal(size=(N, 4))
    return np.isnan(fit_ridge(features, values, ids=IDS).cv_r2)


def in_paired_voxels(values: np.ndarray) -> np.ndarray:
    table = ResponseTable(MemoryArray(values, "betas"), "trials-first")
    return measure(table, np.arange(N), np.zeros(N)).constant


def in_check(values: np.ndarray) -> np.ndarray:
    try:
        check_constant(responses(values), what="responses")
    except DataError as problem:
        return np.array([f"(first: {k})" in str(problem) for k in range(3)])
    return np.zeros(3, bool)


def in_match_std(values: np.ndarray) -> np.ndarray:
    space = responses(values).space
    measured = responses(np.random.default_rng(3).normal(size=(N, 3)))
    return fit_adapter("match-std", space, values, measured, repeats=1).scale == 0


def in_nearest(values: np.ndarray) -> np.ndarray:
    return nearest_with_r(values.T, values.T)[1] < 0.5


DOORS = {
    "the rule": constant_columns,
    "paired voxels": in_paired_voxels,
    "check of any benchmark": in_check,
    "ridge features, primal": in_ridge_features("primal", True),
    "ridge features, dual": in_ridge_features("dual", True),
    "ridge features as they are": in_ridge_features("primal", False),
    "ridge targets": in_ridge_targets,
    "voxels of an encoder": lambda values: VoxelScale.of(values).sd == 0,
    "features of an encoder": lambda values: moments([values])[1] == 1,
    "match-std": in_match_std,
    "voxel r": lambda values: np.isnan(voxel_r(values, values)),
    "rows of correlations": lambda values: Rows.of(values.T).norm == 0,
    "resampled voxel r": lambda values: Moments.weighted(values, values, np.full((1, N), 1 / N)).y_flat[0],
    "nearest training pattern": in_nearest,
}


@pytest.mark.parametrize("door", DOORS)
def test_rounding_is_no_signal_and_a_small_signal_is_one(door):
    assert DOORS[door](columns(ROUNDING)).tolist() == [False, True, False]
    assert DOORS[door](columns(np.full(N, 14.62))).tolist() == [False, True, False]
    assert DOORS[door](columns(np.zeros(N))).tolist() == [False, True, False]
    assert not DOORS[door](columns(SMALL)).any()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_rule_knows_no_unit(scale):
    assert constant_columns(columns(ROUNDING)[:, 1:2].astype(np.float64) * scale).all()
    assert not constant_columns(columns(SMALL)[:, 1:2].astype(np.float64) * scale).any()


def test_what_is_not_a_number_is_not_called_constant():
    assert not is_constant(np.array([np.nan]), np.array([1.0])).any()
    assert is_constant(np.array([0.0]), np.array([0.0])).all()


def test_a_constant_column_moves_no_prediction():
    features = columns(ROUNDING)
    model = fit_ridge(features, features[:, :1] + features[:, 2:], ids=IDS)
    moved = features.copy()
    moved[:, COLUMN] += 0.5
    np.testing.assert_array_equal(model.predict(moved), model.predict(features))
