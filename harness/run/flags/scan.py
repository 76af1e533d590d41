"""Whether one run of consecutive trials fails to be identified while the others do not: a scan statistic.

A list of ids that slipped by one for a while leaves a block of trials near chance.  The statistic is the
largest difference of mean scores, (all - window) x sqrt(L n / (n - L)), over windows of L of n consecutive
values (Kulldorff 1997, Commun. Stat. 26), with -log(1 - rate + 0.05) as the score: in simulated blocks it
told them best, since clean rates crowd near 1.  Sessions are windows too.  Its distribution where order
means nothing is that over permutations of the values, so the rate of false alarms is at most `FALSE_ALARMS`
whatever the values are.  A block must besides be less than half as far above chance as the rest, which is
well above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FALSE_ALARMS = 0.01
"""Share of clean runs that raise an alarm, at most."""

PERMUTATIONS = 4999
FEWEST = 12
"""Values below which nothing is said."""

SHORTEST, LENGTHS = 4, 10
"""Values of the shortest window, and how many lengths up to half of all are tried."""

SHARE = 0.5
"""Of how far the rest is above chance, the most that a window may be."""

CHANCE, NULL_SD = 0.5, 12**-0.5
"""Mean and SD of a win rate that is uniform without information."""

NEAR_ONE = 0.05
"""Rates closer to 1 than that hardly differ."""

BATCH = 250
"""Permutations done at once; when it is clear that the alarm is false no more are."""


@dataclass(frozen=True)
class Block:
    """A window near chance: positions (n,) in the sequence, its mean and that of the rest, and p."""

    positions: np.ndarray
    mean: float
    rest: float
    p: float


def above_chance(mean: float, count: int) -> bool:
    """Whether the mean of `count` win rates is more than three null standard deviations above chance."""
    return bool(mean >= CHANCE + 3 * NULL_SD / np.sqrt(count))


def block_near_chance(
    rates: np.ndarray, *, sessions: np.ndarray | None = None, scans: int = 1, seed: int = 0
) -> Block | None:
    """The block of win `rates` (n,), in order, that is near chance while the rest is well above; or None.

    sessions : (n,) session of each.  scans : how many sequences of one run are looked at; they share the rate
    of false alarms.
    """
    places = np.flatnonzero(np.isfinite(rates))
    values = np.asarray(rates, np.float64)[places]
    n = len(values)
    if n < FEWEST:
        return None
    windows = _Windows.of(n, None if sessions is None else np.asarray(sessions)[places])
    scores = -np.log(1 - values + NEAR_ONE)
    means = windows.means(values[None])[0]
    rest = (values.sum() - means * windows.lengths) / (n - windows.lengths)
    near_chance = means - CHANCE <= SHARE * (rest - CHANCE)
    enough = rest >= CHANCE + 3 * NULL_SD / np.sqrt(n - windows.lengths)
    differences = np.where(near_chance & enough, windows.differences(scores[None])[0], -np.inf)
    at = int(differences.argmax())
    if not np.isfinite(differences[at]):
        return None
    rng, beaten, allowed = np.random.default_rng(seed), 0, FALSE_ALARMS / scans * (1 + PERMUTATIONS)
    for first in range(0, PERMUTATIONS, BATCH):
        count = min(BATCH, PERMUTATIONS - first)
        permuted = rng.permuted(np.broadcast_to(scores, (count, n)), axis=1)
        beaten += int((windows.differences(permuted).max(axis=1) >= differences[at] - 1e-9).sum())
        if 1 + beaten > allowed:
            return None
    positions = places[windows.positions(at)]
    return Block(positions, float(means[at]), float(rest[at]), (1 + beaten) / (1 + PERMUTATIONS))


@dataclass(frozen=True)
class _Windows:
    """Runs of consecutive positions of n, and sessions; `lengths` (W,) of all of them in order."""

    n: int
    runs: tuple[int, ...]
    sessions: tuple[np.ndarray, ...]
    lengths: np.ndarray

    @classmethod
    def of(cls, n: int, sessions: np.ndarray | None) -> _Windows:
        half = n // 2
        runs = np.unique(np.rint(np.geomspace(SHORTEST, half, LENGTHS)).astype(int)).tolist()
        members = [] if sessions is None else [np.flatnonzero(sessions == s) for s in np.unique(sessions)]
        members = [m for m in members if SHORTEST <= len(m) <= half]
        lengths = [length for length in runs for _ in range(n - length + 1)] + [len(m) for m in members]
        return cls(n, tuple(runs), tuple(members), np.array(lengths))

    def means(self, values: np.ndarray) -> np.ndarray:
        """(B, W) means of each row of `values` (B, n) over every window."""
        sums = np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)
        parts = [(sums[:, length:] - sums[:, :-length]) / length for length in self.runs]
        parts += [values[:, members].mean(axis=1, keepdims=True) for members in self.sessions]
        return np.concatenate(parts, axis=1)

    def differences(self, scores: np.ndarray) -> np.ndarray:
        """(B, W) the statistic of every window, of each row of `scores` (B, n)."""
        scale = np.sqrt(self.lengths * self.n / (self.n - self.lengths))
        return (scores.mean(axis=1, keepdims=True) - self.means(scores)) * scale

    def positions(self, window: int) -> np.ndarray:
        """Positions of the window of that number."""
        for length in self.runs:
            if window < self.n - length + 1:
                return np.arange(window, window + length)
            window -= self.n - length + 1
        return self.sessions[window]
