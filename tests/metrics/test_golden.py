"""Metrics equal the recorded values of the original authors' evaluation code (tests/golden/check.py)."""

import pytest
from commands import TESTS
from golden.check import check_pair
from golden.pairs import METRIC_TOLERANCE, CheckFailed, Pair

FOLDER = TESTS / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("metrics_*.json")))
def test_recorded_values_are_reproduced(name):
    pair = Pair.open(FOLDER, name)
    check_pair(pair)
    assert all(comparison.allowed <= METRIC_TOLERANCE for comparison in pair.comparisons)


def test_a_metric_off_by_more_than_float32_rounding_fails():
    pair = Pair({"kind": "", "expected": {"first": 1.0}}, {})
    with pytest.raises(CheckFailed, match=r"first: largest error 3.00e-06 absolute, allowed 2e-06: FAILED"):
        pair.compare("first", 1.0 + 3e-6, tolerance=METRIC_TOLERANCE)
