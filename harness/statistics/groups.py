"""Tie groups: which of several systems cannot be told apart.

A compact letter display: two systems share a letter exactly if they were not told apart (Piepho
2004, doi 10.1198/1061860043515).  Being told apart is not transitive, so a system may be in several
groups: of three in a row the ends may differ while the middle differs from neither (a, ab, b).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_lowercase

import numpy as np


def tie_groups(apart: np.ndarray) -> list[frozenset[int]]:
    """Largest sets of systems no two of which are told apart.

    apart : (M, M) bool, symmetric.  Sets are ordered by their members, the first system's first, so
    systems given best first get the best group first.

    They are the maximal cliques of the graph of pairs that are not told apart, found by the algorithm of Bron
    and Kerbosch with a pivot (Tomita, Tanaka & Takahashi 2006), a set being the bits of a number.
    """
    apart = np.asarray(apart, bool)
    everyone = (1 << len(apart)) - 1
    tied_with = [
        everyone & ~(1 << i) & ~sum(1 << int(j) for j in np.flatnonzero(line)) for i, line in enumerate(apart)
    ]
    groups = _cliques(tied_with, 0, everyone, 0) if len(apart) else []
    return sorted((frozenset(_members(group)) for group in groups), key=sorted)


def _cliques(tied_with: Sequence[int], group: int, open_: int, closed: int) -> list[int]:
    """All maximal cliques that hold `group`, some of `open_`, which tie with it, and none of `closed`."""
    if not open_:
        return [] if closed else [group]
    pivot = max(_members(open_ | closed), key=lambda i: (tied_with[i] & open_).bit_count())
    groups = []
    for i in _members(open_ & ~tied_with[pivot]):
        groups += _cliques(tied_with, group | 1 << i, open_ & tied_with[i], closed & tied_with[i])
        open_ &= ~(1 << i)
        closed |= 1 << i
    return groups


def _members(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


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
