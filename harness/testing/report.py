"""What checks find, as sentences, and how a list of checks is carried out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import WeightsMissing, visible, what_happened

HERE = Path(__file__).parent
GATE = "contract"
"""The check without which no other makes sense."""


class Problem(NamedTuple):
    """What a check expected, what it saw, and what to change."""

    expected: str
    seen: str
    change: str


@dataclass(frozen=True)
class Finding:
    """A :class:`Problem` of the check called `check`; as text one line."""

    check: str
    expected: str
    seen: str
    change: str

    def __str__(self) -> str:
        text = f"{self.check}: expected {self.expected}; got {self.seen}. {self.change}"
        return visible(" ".join(text.split()))


class NotChecked(Exception):
    """A check that does not apply, or cannot be made here; its message says why."""


Check = Callable[[Any], Iterator[Problem]]
"""Case -> problems; raises :class:`NotChecked`.  What a plugin's code raises becomes a finding."""


@dataclass(frozen=True)
class Report:
    """What the checks of one plugin gave.  Iterating gives the findings.

    passed : names of checks.  skipped : (check, why).  excused : (expected finding, why).
    """

    label: str
    passed: tuple[str, ...]
    findings: tuple[Finding, ...]
    skipped: tuple[tuple[str, str], ...]
    excused: tuple[tuple[Finding, str], ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def ok(self) -> bool:
        """No finding, which does not say that anything could be checked."""
        return not self.findings

    def require(self) -> None:
        """Raise AssertionError with all findings, one a line."""
        if self.findings:
            raise AssertionError("\n".join([f"{self.label} does not conform:", *map(str, self.findings)]))


def carry_out(
    label: str,
    checks: Mapping[str, Check],
    case: Any,
    *,
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Make every check of `case`; after a broken contract no other.

    expected_failures : name of a check -> why it may fail.
    """
    passed: list[str] = []
    findings: list[Finding] = []
    skipped: list[tuple[str, str]] = []
    excused: list[tuple[Finding, str]] = []
    reasons = dict(expected_failures or {})
    if unknown := set(reasons) - set(checks):
        raise ValueError(
            f"expected_failures names no check: {sorted(unknown)}; checks are {', '.join(checks)}"
        )
    for name, check in checks.items():
        if findings and findings[0].check == GATE:
            skipped.append((name, "the contract is not met"))
            continue
        try:
            problems = findings_of(name, check, case)
        except NotChecked as why:
            skipped.append((name, " ".join(str(why).split())))
            continue
        if problems and name in reasons:
            excused += [(problem, reasons[name]) for problem in problems]
        elif problems:
            findings += problems
        else:
            passed.append(name)
    return Report(label, tuple(passed), tuple(findings), tuple(skipped), tuple(excused))


def findings_of(name: str, check: Check, case: Any) -> list[Finding]:
    """What one check finds.

    Raises
    ------
    NotChecked
        It does not apply, weights are missing, or what it needs failed in an earlier check.
    """
    try:
        return [Finding(name, *problem) for problem in check(case)]
    except (NotChecked, KeyboardInterrupt):
        raise
    except WeightsMissing as problem:
        raise NotChecked(str(problem)) from problem
    except BaseException as problem:  # a plugin may exit, too
        where = place_of(problem)
        return [Finding(name, "it to work", what_happened(problem), f"Mend it{where}.")]


def place_of(problem: BaseException) -> str:
    """Where outside this kit `problem` was raised last, as `` in line N of FILE``, or ``""``."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(HERE)]
    return f" in line {own[-1].lineno} of {own[-1].filename}" if own else ""
