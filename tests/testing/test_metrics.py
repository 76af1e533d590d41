"""Metrics that break one promise each: the kit names it in a sentence."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from kit_plugins import GOOD_METRIC, likeness
from kit_reports import one_of

from harness import plugins
from harness.api import Metric, call
from harness.testing import (
    Sample,
    check_metric,
)


def scored(function, **fields) -> Metric:
    return replace(GOOD_METRIC, **{"score": function, "deranged": None, **fields})


def _overwriting(result, target):
    values = likeness(result, target)
    result[:] = 0
    return values


def _drawing(result, target):
    return likeness(result, target) + np.random.default_rng().standard_normal(len(result))


def _by_position(result, target):
    return likeness(result, target) + np.arange(len(result)) / 10


def _all_or_nothing(result, target):
    values = likeness(result, target)
    return values if np.isfinite(values).all() else np.full(len(values), np.nan)


def _zero_for_nan(result, target):
    return np.nan_to_num(likeness(result, target))


def _half(result, target):
    """Large numbers in half precision."""
    dtype = np.float16 if result.dtype == np.float32 else np.float64
    return likeness((result + 1000).astype(dtype), target)


def _asking(result, target):
    random.seed(0)
    return likeness(result, target)


BROKEN_METRICS = {
    "contract: no row": ("contract", "likeness"),
    "contract: no scorer": ("contract", replace(GOOD_METRIC, inputs="embeding")),
    "contract: a unit": ("contract", replace(GOOD_METRIC, unit="images")),
    "contract: no module": ("contract", replace(GOOD_METRIC, score=call("no_such_module:f"))),
    "contract: no keyword": ("contract", replace(GOOD_METRIC, gets=("rivalry",))),
    "identity": ("identity", replace(GOOD_METRIC, score=call("kit_plugins:likeness", by=print))),
    "explained": ("explained", replace(GOOD_METRIC, label="")),
    "shape": ("shape", scored(lambda result, target: likeness(result, target).mean())),
    "pure: overwrites": ("pure", scored(_overwriting)),
    "pure: draws": ("pure", scored(_drawing)),
    "order": ("order", scored(_by_position)),
    "missing values: all lost": ("missing values", scored(_all_or_nothing)),
    "missing values: 0": ("missing values", scored(_zero_for_nan)),
    "best": ("best", replace(GOOD_METRIC, higher_is_better=False)),
    "chance": ("chance", replace(GOOD_METRIC, chance=0.5)),
    "re-pairings": ("re-pairings", replace(GOOD_METRIC, deranged=lambda r, t, orders: likeness(r, t))),
    "precision": ("precision", scored(_half)),
    "random state": ("random state", scored(_asking)),
}


@pytest.mark.parametrize("case", BROKEN_METRICS)
def test_a_broken_metric(case):
    check, row = BROKEN_METRICS[case]
    one_of(check_metric(row), check)


def test_a_metric_of_unknown_inputs_is_tried_on_what_is_given(monkeypatch):
    row = replace(GOOD_METRIC, inputs="smells", deranged=None, backbone=None)
    monkeypatch.setattr(plugins, "find", lambda group, name: None)
    report = check_metric(row)
    assert any("draw=" in why for _, why in report.skipped)

    def draw(row, n, seed, same):
        target, other = np.random.default_rng(seed).standard_normal((2, n, 9))
        return Sample((target.copy() if same else other, target))

    assert "chance" in check_metric(row, draw=draw).passed
