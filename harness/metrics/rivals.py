"""Rivals: who they are, how one fares among them, and what each of them does to the others' values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """How one's own candidate fares: counts of rivals `below`, `ties` and `above` it, float64.

    (N,) each, or (K, N) for K assignments; NaN where it could not be scored.
    """

    below: np.ndarray
    ties: np.ndarray
    above: np.ndarray

    @property
    def rivals(self) -> np.ndarray:
        return self.below + self.ties + self.above

    def two_way(self, *, strict: bool = False) -> np.ndarray:
        """Share of rivals beaten, ties half or, if `strict`, lost; NaN without rivals."""
        won = self.below if strict else self.below + self.ties / 2
        return np.divide(won, self.rivals, out=np.full(won.shape, np.nan), where=self.rivals > 0)

    def n_way(self, n: int) -> np.ndarray:
        """Expected share of draws of n - 1 rivals in which one's own is first; NaN with too few.

        With b rivals below, t tied and m in all, sum_k C(t, k) C(b, n-1-k) / (k+1) / C(m, n-1)
        = [C(b+t+1, n) - C(b, n)] / [(t+1) C(m, n-1)] by Vandermonde's identity.
        """
        values = np.full(self.below.shape, np.nan)
        scored = self.rivals >= n - 1
        counts = np.stack([side[scored] for side in (self.below, self.ties, self.rivals)], axis=1)
        distinct, where = np.unique(counts.astype(np.int64), axis=0, return_inverse=True)
        chances = [
            (comb(b + t + 1, n) - comb(b, n)) / ((t + 1) * comb(m, n - 1)) for b, t, m in distinct.tolist()
        ]
        values[scored] = np.array(chances)[where.reshape(-1)]
        return values


Rule = Callable[[Ranks], np.ndarray]


class Rivalry:
    """What each image does to the values of the others by being among their rivals.

    With v_j the value of image j and v_j(-i) its value without rival i, image i adds
    d_i = sum_{j != i} (v_j - v_j(-i)) to the others, and v_i + d_i is the jackknife pseudo-value
    N mean(v) - (N - 1) mean(v without i) (Tukey 1958; Miller 1974) of the mean over the pool.  For
    two-way identification d_i is, but for terms of order 1/N, the rate at which the others win
    against i, less its mean: the second half of the first-order (Hajek) projection of a
    statistic over ordered pairs (van der Vaart 1998, ch. 12).

    rule : values of :class:`Ranks`.
    without : the same for ranks that lack one rival; NaN there (no rival is left) is no change.
    """

    def __init__(self, n: int, rule: Rule, without: Rule) -> None:
        self.rule, self.without = rule, without
        self._total = np.zeros(n)

    def add(self, own: np.ndarray, pool: Pool, below: np.ndarray, above: np.ndarray) -> None:
        """Count c choosers whose own candidates are `own` (c,); `below` and `above` are (N, c)."""
        counts = pool.counted(own, below, above)
        value = self.rule(Ranks(*counts))
        changes = []
        for side in range(3):
            fewer = counts.copy()
            fewer[side] = np.maximum(fewer[side] - 1.0, 0.0)  # where there is none, none is asked for
            change = value - self.without(Ranks(*fewer))
            changes.append(np.where(np.isfinite(change), change, 0.0))
        at_below, at_tie, at_above = changes
        # Whoever is neither below nor above is tied, oneself and one's copies apart.
        self._total += pool.members * at_tie.sum() + below @ (at_below - at_tie) + above @ (at_above - at_tie)
        if pool.copies is None:
            np.subtract.at(self._total, own, at_tie)
        else:
            self._total -= pool.of_one(own) @ at_tie

    def values(self, scored: np.ndarray) -> np.ndarray:
        """(N,) d_i less its mean over the images that are `scored` (N,); 0 for the others."""
        if not scored.any():
            return np.zeros(len(scored))
        return np.where(scored, self._total - self._total[scored].mean(), 0.0)


@dataclass(frozen=True)
class Pool:
    """Who may be a rival: `members` (N,) bool, but not one's own copies, of equal `copies` (N,)."""

    members: np.ndarray
    copies: np.ndarray | None = None

    @classmethod
    def of(cls, usable: np.ndarray, copies: np.ndarray | None, *, once: bool) -> Pool:
        """All `usable` (N,) images or, with `once`, the first usable one of each picture."""
        if copies is None or not once:
            return cls(usable, copies)
        first = np.zeros(len(usable), bool)
        first[np.flatnonzero(usable)[np.unique(copies[usable], return_index=True)[1]]] = True
        return cls(first, copies)

    def of_one(self, own: np.ndarray) -> np.ndarray:
        """(N, c) whether a member is the own candidate of a chooser, or a copy of it."""
        return self.members[:, None] & (self.copies[:, None] == self.copies[own])

    def rivals(self, own: np.ndarray) -> np.ndarray:
        """(N, c) members that are no copies; without copies (N, 1), with the own ones, who are ties."""
        members = self.members[:, None]
        return members if self.copies is None else members & ~self.of_one(own)

    def counted(self, own: np.ndarray, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        """(3, c) rivals below, tied and above, float64."""
        under, over = below.sum(axis=0), above.sum(axis=0)
        alike = 1 if self.copies is None else self.of_one(own).sum(axis=0)
        return np.stack([under, self.members.sum() - alike - under - over, over]).astype(np.float64)
