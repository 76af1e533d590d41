"""The checks of every kind of plugin, by group; of installed plugins, of classes, and as tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..catalogue import Metric
from ..errors import PluginError
from ..plugins import PluginRef
from . import backbones, benchmarks, decoders, encoders, metrics
from .case import Case
from .report import GATE, Check, Finding, NotChecked, Report, carry_out, findings_of

KINDS: dict[str, tuple[type[Case], Mapping[str, Check]]] = {
    "encoders": (encoders.EncoderCase, encoders.CHECKS),
    "decoders": (decoders.DecoderCase, decoders.CHECKS),
    "benchmarks": (benchmarks.BenchmarkCase, benchmarks.CHECKS),
    "metrics": (metrics.MetricCase, metrics.CHECKS),
    "backbones": (backbones.BackboneCase, backbones.CHECKS),
    "scorers": (backbones.ScorerCase, backbones.SCORER_CHECKS),
}
"""Group -> its case, built of a plugin and of parameters where it has some, and its checks."""


def check_plugin(ref: PluginRef, params: Any = None) -> Report:
    """Check the plugin that `ref` names; one that cannot be imported has a finding that says why."""
    label = f"{ref.kind} {ref.name}"
    try:
        plugin = ref.load()
    except PluginError as problem:
        finding = Finding(GATE, "a plugin that can be loaded", str(problem), "Mend that first.")
        return Report(label, (), (finding,), ())
    case, checks = KINDS[ref.group]
    return carry_out(label, checks, case(plugin) if params is None else case(plugin, params))


def conformance(
    group: str,
    plugin: Any,
    params: Any = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
    **more: Any,
) -> Callable[[str], None]:
    """A test for pytest, once for each check: ``test_mine = conformance("encoders", MyEncoder)``.

    plugin : the class or, of metrics, the row.  params : an instance of its ``Params``.
    expected_failures : name of a check -> why it may fail.  more : what the kind's own check function takes,
    as ``subjects`` of ``check_encoder``.  A check that does not apply is skipped with its reason.
    """
    import pytest

    case_of, checks = KINDS[group]
    given = (plugin,) if params is None or isinstance(plugin, Metric) else (plugin, params)
    cases: list[Case] = []

    @pytest.mark.parametrize("check", checks)
    def test_conformance(check: str) -> None:
        if not cases:
            cases.append(case_of(*given, **more))
        try:
            findings = findings_of(check, checks[check], cases[0])
        except NotChecked as why:
            pytest.skip(str(why))
        if findings and check in (expected_failures or {}):
            pytest.xfail(expected_failures[check])
        assert not findings, "\n".join(map(str, findings))

    return test_conformance
