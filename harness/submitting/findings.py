"""What checks of a submission report: how much was right, and every value that was not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import quoted
from ..verified import Checked

CLOSE = 1e-9
"""Relative difference below which two computations of one number on different machines agree."""


@dataclass
class Findings:
    """Collected while checking.

    checked : kinds of check that were done, with the number of values.  wrong : a sentence for each value
    that is not what was recomputed.  not_checked : a sentence for what could not be.
    """

    checked: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def compare(self, what: str, where: str, given: Any, recomputed: Any, *, within: float = CLOSE) -> None:
        """Count a value of the check `what`; where it differs, say so."""
        self.checked[what] = self.checked.get(what, 0) + 1
        if not same(given, recomputed, within=within):
            self.wrong.append(f"{where} is {quoted(given)}; recomputed: {quoted(recomputed)}")

    def compare_tree(
        self, what: str, where: str, given: Any, recomputed: Any, *, within: float = CLOSE
    ) -> None:
        """:meth:`compare` every value of nested mappings and lists, by its place."""
        if isinstance(recomputed, Mapping) and isinstance(given, Mapping):
            for key in sorted({*given, *recomputed}, key=str):
                self.compare_tree(what, f"{where}.{key}", given.get(key), recomputed.get(key), within=within)
        elif isinstance(recomputed, list | tuple) and isinstance(given, list | tuple):
            if len(given) != len(recomputed):
                self.compare(what, f"the length of {where}", len(given), len(recomputed))
            for place, (item, again) in enumerate(zip(given, recomputed)):
                self.compare_tree(what, f"{where}[{place}]", item, again, within=within)
        else:
            self.compare(what, where, given, recomputed, within=within)

    def summary(self) -> Sequence[Checked]:
        """The checks that were done."""
        return [Checked(what=what, values=count) for what, count in self.checked.items()]


def same(given: Any, recomputed: Any, *, within: float = CLOSE) -> bool:
    """Whether two values are equal; numbers, NaN included, to a relative difference of `within`."""
    if type(given) is bool or type(recomputed) is bool or not _numbers(given, recomputed):
        return given == recomputed
    if math.isnan(given) or math.isnan(recomputed):
        return math.isnan(given) and math.isnan(recomputed)
    return given == recomputed or abs(given - recomputed) <= within * max(1.0, abs(given), abs(recomputed))


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)
