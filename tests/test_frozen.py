"""Catalogues and score tables are those of tests/frozen.json; ``python tests/freeze.py`` renews it.

Bytes are compared on a machine such as wrote the file, means on any: processors round differently
(:data:`freeze.TOLERANCE`, :data:`freeze.MAY_TURN`).  What was added since the file was written is no
difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import freeze
import numpy as np
import pandas as pd
import pytest

RENEW = "if this is meant, type: python tests/freeze.py"


def changes(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float = 0.0) -> list[str]:
    """What moved or is gone, but for what is new."""
    return [line for line in freeze.moved(old, new, tolerance) if not line.endswith(freeze.ADDED)]


def test_metrics_and_backbones_are_the_frozen_ones():
    now = freeze.plain({"metrics": freeze.metrics(), "backbones": freeze.backbones()})
    lines = changes({key: freeze.recorded()[key] for key in now}, now)
    assert not lines, f"{RENEW}\n" + "\n".join(lines)


@pytest.mark.parametrize("name", ["ridge", pytest.param("chasm", marks=pytest.mark.slow), "digits"])
def test_score_tables_are_the_frozen_ones(name, tmp_path):
    if missing := freeze.absent(name):
        pytest.skip(f"the measurements are not here ({missing})")
    tables, frozen = freeze.tables(name, tmp_path), freeze.recorded()["runs"][name]
    lines = changes(frozen["means"], freeze.means(tables), freeze.TOLERANCE[name])
    told = f"{RENEW}\n" + "\n".join(lines)
    assert not [line for line in lines if line.endswith(freeze.GONE)], told
    if frozen["machine"] != freeze.machine():
        assert len(lines) <= freeze.MAY_TURN * sum(len(table) for table in frozen["means"].values()), told
        return
    assert not lines, told
    listed = {table: freeze.listed(frame, frozen["means"][table]) for table, frame in tables.items()}
    shas = {table: freeze.content_sha(frame) for table, frame in listed.items()}
    assert shas == frozen["sha256"], f"the means are the same and the bytes are not; {RENEW}"


def test_every_run_is_frozen():
    frozen = freeze.recorded()["runs"]
    assert frozen.keys() == freeze.RUNS.keys()
    for run in frozen.values():
        assert run["sha256"].keys() == run["means"].keys() == set(freeze.TABLES)
        assert sum(len(table) for table in run["means"].values()) > 50


def test_a_change_of_one_value_is_said():
    """The comparison itself: each kind of difference in turn."""
    old = {"a": {"b": 1.0, "c": None, "d": ["x"]}}
    assert list(freeze.moved(old, {"a": {"b": 1.000005, "c": None, "d": ["x"]}}, 1e-5)) == []
    assert list(freeze.moved(old, old)) == []
    assert list(freeze.moved(old, {"a": {"b": 1.0001, "c": 2.0, "e": 0}}, 1e-5)) == [
        "a / b: 1.0 -> 1.0001",
        "a / c: None -> 2.0",
        "a / d: gone",
        "a / e: new",
    ]


def test_what_is_added_moves_nothing():
    """A new metric's rows between the old ones, and a new metric in a catalogue."""
    table = pd.DataFrame(
        {"run": "r", "metric": ["a@1", "c@1"], "row": ["x", "x"], "value": np.array([0.5, 1.5])}
    )
    more = pd.concat([table[:1], table[:1].assign(metric="b@1", value=7.0), table[1:]])
    old, new = ({"scores": frame} for frame in (table, more))
    frozen = freeze.means(old)
    assert changes(frozen, freeze.means(new)) == []
    assert changes(freeze.means(new), frozen) == ["scores / b@1 x: gone"]
    assert freeze.content_sha(freeze.listed(more, frozen["scores"])) == freeze.content_sha(table)
    assert freeze.content_sha(freeze.listed(more, freeze.means(new)["scores"])) != freeze.content_sha(table)
    assert changes({"ssim": {"chance": 0.0}}, {"ssim": {"chance": 0.0}, "mine": {"chance": 0.5}}) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(value=np.nextafter(t.value, np.float32(9))),
        lambda t: t.iloc[::-1],
        lambda t: t.assign(row=["a", "c"]),
        lambda t: t.assign(numbers=[np.array([1.0, 2.0]), np.array([3.0, 5.0])]),
        lambda t: t.rename(columns={"row": "rows"}),
    ],
)
def test_bytes_are_those_of_all_columns_but_the_runs_name(change):
    table = pd.DataFrame(
        {
            "run": ["x", "x"],
            "row": pd.Categorical(["a", "b"]),
            "value": np.array([0.5, 1.5], np.float32),
            "numbers": [np.array([1.0, 2.0]), np.array([3.0, 4.0])],
            "ids": [np.array(["p", "q"], object), np.array(["p", "q"], object)],
        }
    )
    sha = freeze.content_sha(table)
    assert freeze.content_sha(table.assign(run="y")) == sha
    assert freeze.content_sha(change(table)) != sha
