"""Identification: does a reconstruction resemble its own image more than it resembles the others?

With ``r_ij`` the Pearson correlation of image i and reconstruction j over features,

* two-way: the share of the other images i that lose against j's own, ``r_ij < r_jj``, ties half
  (the public notebooks of MindEye2 and Brain-Diffuser count a tie as lost: ``strict=True``);
* n-way: the chance that j's own image comes first among itself and n - 1 others drawn without
  replacement.  The expectation over all draws is taken, so nothing is random.

By default each reconstruction chooses among the images, the field's direction; ``choose="result"``
lets each image choose among the reconstructions, which forgives hubs that resemble everything.

Every value depends on the pool: two-way saturates at 1 - 1/(2K) for someone who knows only which of
K equal clusters an image belongs to, and values of one pool are not independent.  The per-image win
rate is the unit of all statistics; counting N (N - 1) pairs as independent trials makes intervals
more than tenfold too narrow.  An image takes part twice, with its own value and as a rival of the
others; :class:`Rivalry` is the second part, without which intervals may be half as wide as they
should be (:mod:`harness.statistics.pairs`).

Conventions: a row without variance correlates 0 with everything, so that outputs that are all alike
score 0.5.  Correlations closer than 1e-12 in float64 are ties.  A row with NaN is not scored, and
is nobody's rival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Literal

import numpy as np

from .correlations import Rows, correlations, correlations_of_pairs, standardise
from .correlations_on_device import correlations_of_rows_on, correlations_on, rows_on

Chooser = Literal["target", "result"]

CLOSE = 1e-5  # float32 correlations of half a million features are good to about 1e-6
TIE = 1e-12
PAIRS = 1 << 22  # similarities held at once, 32 MB
ROWS = 64  # standardised at once in float64


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

    def add(self, own: np.ndarray, usable: np.ndarray, below: np.ndarray, above: np.ndarray) -> None:
        """Count c choosers whose own candidates are `own` (c,); `below` and `above` are (N, c)."""
        counts = _counted(below, above, usable)
        value = self.rule(Ranks(*counts))
        changes = []
        for side in range(3):
            fewer = counts.copy()
            fewer[side] = np.maximum(fewer[side] - 1.0, 0.0)  # where there is none, none is asked for
            change = value - self.without(Ranks(*fewer))
            changes.append(np.where(np.isfinite(change), change, 0.0))
        at_below, at_tie, at_above = changes
        # Whoever is neither below nor above is tied, oneself apart.
        self._total += usable * at_tie.sum() + below @ (at_below - at_tie) + above @ (at_above - at_tie)
        np.subtract.at(self._total, own, at_tie)

    def values(self, scored: np.ndarray) -> np.ndarray:
        """(N,) d_i less its mean over the images that are `scored` (N,); 0 for the others."""
        if not scored.any():
            return np.zeros(len(scored))
        return np.where(scored, self._total - self._total[scored].mean(), 0.0)


def two_way(
    result: np.ndarray, target: np.ndarray, *, choose: Chooser = "target", strict: bool = False
) -> np.ndarray:
    """(N,) two-way win rates of `result` (N, D) against `target` (N, D); NaN for N = 1."""
    return ranks(*_choosers(result, target, choose)).two_way(strict=strict)


def two_way_with_rivalry(
    result: np.ndarray, target: np.ndarray, *, choose: Chooser = "target", strict: bool = False
) -> np.ndarray:
    """(2, N) :func:`two_way` and the images' :class:`Rivalry`."""
    rule = partial(Ranks.two_way, strict=strict)
    return _with_rivalry(*_choosers(result, target, choose), rule, rule)


def n_way(result: np.ndarray, target: np.ndarray, n: int, *, choose: Chooser = "target") -> np.ndarray:
    """(N,) expected top-1 accuracy among n candidates; NaN for N < n."""
    return ranks(*_choosers(result, target, choose)).n_way(n)


def n_way_with_rivalry(
    result: np.ndarray, target: np.ndarray, n: int, *, choose: Chooser = "target"
) -> np.ndarray:
    """(2, N) :func:`n_way` and the images' :class:`Rivalry`."""
    return _with_rivalry(*_choosers(result, target, choose), *_n_way_rules(n))


def correlation_distance(result: np.ndarray, target: np.ndarray, *, device: str | None = None) -> np.ndarray:
    """(N,) 1 - Pearson correlation of each row pair, in float64; 1 where a row is constant."""
    if device is not None:
        return 1.0 - correlations_of_rows_on(result, target, device=device)
    values = np.empty(len(result))
    for start in range(0, len(result), ROWS):
        part = slice(start, start + ROWS)
        values[part] = 1.0 - np.einsum("nd,nd->n", standardise(result[part]), standardise(target[part]))
    return values


def ranks(
    choosers: np.ndarray,
    candidates: np.ndarray,
    *,
    rivalry: Rivalry | None = None,
    device: str | None = None,
) -> Ranks:
    """Where candidate j ranks for chooser j among all candidates, by Pearson correlation.

    choosers, candidates : (N, D).  Similarities are float32 products; a rival that comes within 1e-5
    of a chooser's own candidate is compared again in float64, so the counts do not hang on the order of
    summation.  `rivalry` is told who beat whom.  On a torch `device` all are float64 products
    (:mod:`.correlations_on_device`), with the same counts.
    """
    choosing, chosen = _rows(choosers, device), _rows(candidates, device)
    counts = np.full((3, len(choosers)), np.nan)
    usable = chosen.finite
    for columns in _chunks(np.flatnonzero(choosing.finite & usable), len(choosers)):
        if device is None:
            below, above = _decided(chosen, choosing, columns)
        else:
            exact = _exact(chosen, choosing, columns, device)
            below, above = _compared(exact, exact[columns, np.arange(len(columns))], usable, tie=TIE)
        counts[:, columns] = _counted(below, above, usable)
        if rivalry is not None:
            rivalry.add(columns, usable, below, above)
    return Ranks(*counts)


def _decided(chosen: Rows, choosing: Rows, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, c) whether a candidate is below, and above, chooser ``columns[c]``'s own; float32, then float64."""
    similar = correlations(chosen, choosing, dtype=np.float32, at=(slice(None), columns))  # (N, c)
    own, usable = similar[columns, np.arange(len(columns))], chosen.finite
    below, above = _compared(similar, own, usable, tie=0.0)
    near = (np.abs(similar - own) < CLOSE) & usable[:, None]
    near &= choosing.norm[columns] > 0  # everything ties exactly with a row without variance
    near[columns, np.arange(len(columns))] = False
    rivals, at = np.nonzero(near)
    if len(rivals):
        lead = _lead(chosen, choosing, rivals, columns[at])
        below[rivals, at], above[rivals, at] = lead < -TIE, lead > TIE
    return below, above


def deranged_ranks(
    choosers: np.ndarray,
    candidates: np.ndarray,
    assigned: np.ndarray,
    *,
    rivalry: Rivalry | None = None,
    device: str | None = None,
) -> Ranks:
    """Like :func:`ranks`, with candidate ``assigned[k, j]`` as chooser j's own; counts are (K, N).

    All K assignments share one set of float64 similarities, so a shuffled control of 50
    re-pairings costs about as much as one score.  `rivalry` sums over the assignments.
    """
    counts = np.full((3, *assigned.shape), np.nan)
    choosing, chosen = _rows(choosers, device), _rows(candidates, device)
    usable = chosen.finite
    for columns in _chunks(np.flatnonzero(choosing.finite), len(choosers)):
        exact = _exact(chosen, choosing, columns, device)
        for k, row in enumerate(assigned[:, columns]):
            paired = usable[row]
            own = exact[row, np.arange(len(columns))][paired]
            below, above = _compared(exact[:, paired], own, usable, tie=TIE)
            counts[:, k, columns[paired]] = _counted(below, above, usable)
            if rivalry is not None:
                rivalry.add(row[paired], usable, below, above)
    return Ranks(*counts)


def _choosers(result: np.ndarray, target: np.ndarray, choose: Chooser) -> tuple[np.ndarray, np.ndarray]:
    if choose not in ("target", "result"):
        raise ValueError(f"choose is {choose!r}; expected 'target' or 'result'")
    return (result, target) if choose == "target" else (target, result)


def _rows(values: np.ndarray, device: str | None) -> Rows:
    return Rows.of(values) if device is None else rows_on(values, device)


def _exact(chosen: Rows, choosing: Rows, columns: np.ndarray, device: str | None) -> np.ndarray:
    """(N, c) float64 correlations of all candidates and choosers `columns`."""
    at = (slice(None), columns)
    if device is None:
        return correlations(chosen, choosing, dtype=np.float64, at=at)
    return correlations_on(chosen, choosing, device=device, at=at)


def _with_rivalry(
    choosers: np.ndarray, candidates: np.ndarray, rule: Rule, without: Rule, *, device: str | None = None
) -> np.ndarray:
    rivalry = Rivalry(len(choosers), rule, without)
    values = rule(ranks(choosers, candidates, rivalry=rivalry, device=device))
    return np.stack([values, rivalry.values(np.isfinite(values))])


def _n_way_rules(n: int) -> tuple[Rule, Rule]:
    """n-way; the rivalry of a pool below 2n is left at 0, since a jackknife of nearly all is too wide."""

    def without(found: Ranks) -> np.ndarray:
        enough = found.rivals.min() + 2 >= 2 * n  # the image itself and the rival that is left out
        return found.n_way(n) if enough else np.full(found.rivals.shape, np.nan)

    return partial(Ranks.n_way, n=n), without


def _compared(
    similar: np.ndarray, own: np.ndarray, usable: np.ndarray, *, tie: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N, c) whether a usable row of `similar` (N, c) is below, and above, `own` (c,)."""
    return (similar < own - tie) & usable[:, None], (similar > own + tie) & usable[:, None]


def _counted(below: np.ndarray, above: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(3, c) rivals below, tied and above, of whom there are all `usable` but one's own."""
    under, over = below.sum(axis=0), above.sum(axis=0)
    return np.stack([under, usable.sum() - 1 - under - over, over]).astype(np.float64)


def _lead(chosen: Rows, choosing: Rows, rivals: np.ndarray, choosers: np.ndarray) -> np.ndarray:
    """(P,) how much nearer rival ``rivals[p]`` is to ``choosers[p]`` than its own candidate, in float64."""
    whose, place = np.unique(choosers, return_inverse=True)
    both = np.concatenate([rivals, whose]), np.concatenate([choosers, whose])
    similar = correlations_of_pairs(chosen, choosing, *both)
    return similar[: len(rivals)] - similar[len(rivals) :][place]


def _chunks(positions: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """Choosers compared at once."""
    step = max(1, PAIRS // max(1, n))
    for start in range(0, len(positions), step):
        yield positions[start : start + step]


def identify(
    result: np.ndarray,
    target: np.ndarray,
    *,
    candidates: int,
    strict: bool = False,
    rivalry: bool = False,
    device: str | None = None,
) -> np.ndarray:
    """(N,) identification of `result` (N, D) among `candidates` of `target` (N, D).

    NaN where there are fewer images than candidates.  strict : ties in two-way identification are lost.
    With `rivalry` (2, N): below the values, what each image does to the others' as their rival.
    """
    rule, without = _rules(candidates, strict)
    if rivalry:
        return _with_rivalry(result, target, rule, without, device=device)
    return rule(ranks(result, target, device=device))


def identify_deranged(
    result: np.ndarray,
    target: np.ndarray,
    orders: np.ndarray,
    *,
    candidates: int,
    strict: bool = False,
    rivalry: bool = False,
    device: str | None = None,
) -> np.ndarray:
    """(N,) mean of :func:`identify` over K re-pairings: result ``orders[k, i]`` stands at target i."""
    assigned = np.argsort(orders, axis=1)  # the target at which result j stands
    rule, without = _rules(candidates, strict)
    others = Rivalry(len(result), rule, without)
    more = {"rivalry": others if rivalry else None, "device": device}
    values = np.take_along_axis(rule(deranged_ranks(result, target, assigned, **more)), orders, axis=1)
    scored = np.isfinite(values)
    total = np.where(scored, values, 0.0).sum(axis=0)
    mean = np.divide(total, scored.sum(axis=0), out=np.full(total.shape, np.nan), where=scored.any(axis=0))
    return np.stack([mean, others.values(np.isfinite(mean)) / len(orders)]) if rivalry else mean


def _rules(candidates: int, strict: bool) -> tuple[Rule, Rule]:
    two_way_rule = partial(Ranks.two_way, strict=strict)
    return (two_way_rule, two_way_rule) if candidates == 2 else _n_way_rules(candidates)
