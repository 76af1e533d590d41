"""Tables of suites from written runs: orders, taus, and which score is right."""

from __future__ import annotations

import pytest
import report_fixtures as fixtures

from harness.errors import DataError
from harness.reports.suites import SuiteRun, matrix_tables, which_score_table
from harness.results import RunResult


@pytest.fixture
def runs(tmp_path):
    return [
        SuiteRun(encoder, decoder, 0, RunResult.open(fixtures.write_run(tmp_path / f"{encoder}-{decoder}")))
        for decoder in ("one", "other")
        for encoder in ("a", "b")
    ]


def test_equal_runs_are_in_equal_orders(runs):
    tables = matrix_tables(runs)
    assert set(tables["orders"]["decoder"]) == {"one", "other"}
    line = tables["orders"].iloc[0]
    assert {"a", "b", "measured"} <= set(line["order"])
    assert set(tables["taus"].dropna()["tau"]) == {1.0}
    means = list(line["means"])
    assert means in (sorted(means), sorted(means, reverse=True))


def test_without_the_truth_no_score_is_judged(runs):
    with pytest.raises(DataError, match="no score 'truth-r'"):
        which_score_table(runs)
