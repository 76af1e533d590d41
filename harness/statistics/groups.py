"""Tie groups: which of several systems cannot be told apart.

A compact letter display: two systems share a letter exactly if they were not told apart (Piepho
2004, doi 10.1198/1061860043515).  Being told apart is not transitive, so a system may be in several
groups: of three in a row the ends may differ while the middle differs from neither (a, ab, b).
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np


def tie_groups(apart: np.ndarray) -> list[frozenset[int]]:
    """Largest sets of systems no two of which are told apart, by insertion and absorption.

    apart : (M, M) bool, symmetric.  Sets are ordered by their members, the first system's first, so
    systems given best first get the best group first.
    """
    apart = np.asarray(apart, bool)
    groups = [frozenset(range(len(apart)))] if len(apart) else []
    for i, j in zip(*np.triu_indices(len(apart), k=1)):
        if not apart[i, j]:
            continue
        split = []
        for group in groups:
            split += [group - {i}, group - {j}] if {i, j} <= group else [group]
        # Absorb: a set inside another says nothing more.
        groups = [one for one in dict.fromkeys(split) if not any(one < other for other in split)]
    return sorted(groups, key=sorted)


def tie_letters(apart: np.ndarray, order: Sequence[int] | None = None) -> list[str]:
    """Letters of each of M systems, ``a`` for the group of the first in `order` (default: as given)."""
    apart = np.asarray(apart, bool)
    order = list(range(len(apart)) if order is None else order)
    tied = tie_groups(apart[np.ix_(order, order)])
    letters = [""] * len(order)
    for number, group in enumerate(tied):
        for member in sorted(group):
            letters[order[member]] += _letter(number)
    return letters


def _letter(number: int) -> str:
    """a .. z, then a1 .. z1 and so on."""
    turn, place = divmod(number, 26)
    return ascii_lowercase[place] + (str(turn) if turn else "")
