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
others; :class:`.rivals.Rivalry` is the second part, without which intervals may be half as wide as they
should be (:mod:`harness.statistics.pairs`).

Conventions: a row without variance correlates 0 with everything, so that outputs that are all alike
score 0.5.  Correlations closer than 1e-12 in float64 are ties.  A row with NaN is not scored, and
is nobody's rival.

Copies.  One picture may be listed several times in a test set.  Its copies are no rivals of each other
(``copies``: (N,) numbers that are equal for images of equal content): perfect reconstructions have 1.
Among n candidates each other picture is one, by its first copy, so that chance is 1/n.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import numpy as np

from .correlations import Rows, correlations, correlations_of_pairs, standardise
from .correlations_on_device import correlations_of_rows_on, correlations_on, rows_on
from .rivals import Pool, Ranks, Rivalry, Rule

Chooser = Literal["target", "result"]

CLOSE = 1e-5  # float32 correlations of half a million features are good to about 1e-6
TIE = 1e-12
PAIRS = 1 << 22  # similarities held at once, 32 MB
ROWS = 64  # standardised at once in float64


def two_way(
    result: np.ndarray,
    target: np.ndarray,
    *,
    choose: Chooser = "target",
    strict: bool = False,
    copies: np.ndarray | None = None,
) -> np.ndarray:
    """(N,) two-way win rates of `result` (N, D) against `target` (N, D); NaN without a rival."""
    return ranks(*_choosers(result, target, choose), copies=copies).two_way(strict=strict)


def two_way_with_rivalry(
    result: np.ndarray,
    target: np.ndarray,
    *,
    choose: Chooser = "target",
    strict: bool = False,
    copies: np.ndarray | None = None,
) -> np.ndarray:
    """(2, N) :func:`two_way` and the images' :class:`.rivals.Rivalry`."""
    rule = partial(Ranks.two_way, strict=strict)
    return _with_rivalry(*_choosers(result, target, choose), rule, rule, copies=copies)


def n_way(
    result: np.ndarray,
    target: np.ndarray,
    n: int,
    *,
    choose: Chooser = "target",
    copies: np.ndarray | None = None,
) -> np.ndarray:
    """(N,) expected top-1 accuracy among n candidates; NaN with fewer pictures."""
    return ranks(*_choosers(result, target, choose), copies=copies, once=True).n_way(n)


def n_way_with_rivalry(
    result: np.ndarray,
    target: np.ndarray,
    n: int,
    *,
    choose: Chooser = "target",
    copies: np.ndarray | None = None,
) -> np.ndarray:
    """(2, N) :func:`n_way` and the images' :class:`.rivals.Rivalry`."""
    return _with_rivalry(*_choosers(result, target, choose), *_n_way_rules(n), copies=copies, once=True)


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
    copies: np.ndarray | None = None,
    once: bool = False,
    rivalry: Rivalry | None = None,
    device: str | None = None,
) -> Ranks:
    """Where candidate j ranks for chooser j among all candidates, by Pearson correlation.

    choosers, candidates : (N, D).  Similarities are float32 products; a rival that comes within 1e-5
    of a chooser's own candidate is compared again in float64, so the counts do not hang on the order of
    summation.  copies : (N,) equal numbers for candidates that are no rivals of each other; with `once`
    the first of them alone is a rival of others.  `rivalry` is told who beat whom.  On a torch `device` all
    are float64 products (:mod:`.correlations_on_device`), with the same counts.
    """
    choosing, chosen = _rows(choosers, device), _rows(candidates, device)
    counts = np.full((3, len(choosers)), np.nan)
    pool = Pool.of(chosen.finite, copies, once=once)
    for columns in _chunks(np.flatnonzero(choosing.finite & chosen.finite), len(choosers)):
        rivals = pool.rivals(columns)
        if device is None:
            below, above = _decided(chosen, choosing, columns, rivals)
        else:
            exact = _exact(chosen, choosing, columns, device)
            below, above = _compared(exact, exact[columns, np.arange(len(columns))], rivals, tie=TIE)
        counts[:, columns] = pool.counted(columns, below, above)
        if rivalry is not None:
            rivalry.add(columns, pool, below, above)
    return Ranks(*counts)


def _decided(
    chosen: Rows, choosing: Rows, columns: np.ndarray, rivals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N, c) whether one of `rivals` is below, and above, chooser ``columns[c]``'s own.

    In float32, then in float64.
    """
    similar = correlations(chosen, choosing, dtype=np.float32, at=(slice(None), columns))  # (N, c)
    own = similar[columns, np.arange(len(columns))]
    below, above = _compared(similar, own, rivals, tie=0.0)
    near = (np.abs(similar - own) < CLOSE) & rivals
    near &= choosing.norm[columns] > 0  # everything ties exactly with a row without variance
    near[columns, np.arange(len(columns))] = False
    which, at = np.nonzero(near)
    if len(which):
        lead = _lead(chosen, choosing, which, columns[at])
        below[which, at], above[which, at] = lead < -TIE, lead > TIE
    return below, above


def deranged_ranks(
    choosers: np.ndarray,
    candidates: np.ndarray,
    assigned: np.ndarray,
    *,
    copies: np.ndarray | None = None,
    once: bool = False,
    rivalry: Rivalry | None = None,
    device: str | None = None,
) -> Ranks:
    """Like :func:`ranks`, with candidate ``assigned[k, j]`` as chooser j's own; counts are (K, N).

    All K assignments share one set of float64 similarities, so a shuffled control of 50
    re-pairings costs about as much as one score.  `rivalry` sums over the assignments.  A chooser that
    is assigned a copy of candidate j is no stranger to it, and not scored.
    """
    counts = np.full((3, *assigned.shape), np.nan)
    choosing, chosen = _rows(choosers, device), _rows(candidates, device)
    pool = Pool.of(chosen.finite, copies, once=once)
    for columns in _chunks(np.flatnonzero(choosing.finite), len(choosers)):
        exact = _exact(chosen, choosing, columns, device)
        for k, row in enumerate(assigned[:, columns]):
            paired = chosen.finite[row]
            if copies is not None:
                paired &= copies[row] != copies[columns]
            own = exact[row, np.arange(len(columns))][paired]
            below, above = _compared(exact[:, paired], own, pool.rivals(row[paired]), tie=TIE)
            counts[:, k, columns[paired]] = pool.counted(row[paired], below, above)
            if rivalry is not None:
                rivalry.add(row[paired], pool, below, above)
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
    choosers: np.ndarray, candidates: np.ndarray, rule: Rule, without: Rule, **how: Any
) -> np.ndarray:
    """(2, N) values and rivalry; `how` as in :func:`ranks`."""
    rivalry = Rivalry(len(choosers), rule, without)
    values = rule(ranks(choosers, candidates, rivalry=rivalry, **how))
    return np.stack([values, rivalry.values(np.isfinite(values))])


def _n_way_rules(n: int) -> tuple[Rule, Rule]:
    """n-way; the rivalry of a pool below 2n is left at 0, since a jackknife of nearly all is too wide."""

    def without(ranks: Ranks) -> np.ndarray:
        enough = ranks.rivals.min() + 2 >= 2 * n  # the image itself and the rival that is left out
        return ranks.n_way(n) if enough else np.full(ranks.rivals.shape, np.nan)

    return partial(Ranks.n_way, n=n), without


def _compared(
    similar: np.ndarray, own: np.ndarray, rivals: np.ndarray, *, tie: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N, c) whether one of `rivals` (N, c) has a lower, or a higher, `similar` (N, c) than `own` (c,)."""
    return (similar < own - tie) & rivals, (similar > own + tie) & rivals


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
    copies: np.ndarray | None = None,
    rivalry: bool = False,
    device: str | None = None,
) -> np.ndarray:
    """(N,) identification of `result` (N, D) among `candidates` of `target` (N, D).

    NaN where there are fewer pictures than candidates.  strict : ties in two-way identification are lost.
    copies : (N,) equal numbers for images of equal content, None where there are none.
    With `rivalry` (2, N): below the values, what each image does to the others' as their rival.
    """
    rule, without = _rules(candidates, strict)
    how = {"copies": copies, "once": candidates > 2, "device": device}
    if rivalry:
        return _with_rivalry(result, target, rule, without, **how)
    return rule(ranks(result, target, **how))


def identify_deranged(
    result: np.ndarray,
    target: np.ndarray,
    orders: np.ndarray,
    *,
    candidates: int,
    strict: bool = False,
    copies: np.ndarray | None = None,
    rivalry: bool = False,
    device: str | None = None,
) -> np.ndarray:
    """(N,) mean of :func:`identify` over K re-pairings: result ``orders[k, i]`` stands at target i."""
    assigned = np.argsort(orders, axis=1)  # the target at which result j stands
    rule, without = _rules(candidates, strict)
    others = Rivalry(len(result), rule, without)
    how = {"copies": copies, "once": candidates > 2, "rivalry": others if rivalry else None, "device": device}
    values = np.take_along_axis(rule(deranged_ranks(result, target, assigned, **how)), orders, axis=1)
    scored = np.isfinite(values)
    total = np.where(scored, values, 0.0).sum(axis=0)
    mean = np.divide(total, scored.sum(axis=0), out=np.full(total.shape, np.nan), where=scored.any(axis=0))
    return np.stack([mean, others.values(np.isfinite(mean)) / len(orders)]) if rivalry else mean


def _rules(candidates: int, strict: bool) -> tuple[Rule, Rule]:
    two_way_rule = partial(Ranks.two_way, strict=strict)
    return (two_way_rule, two_way_rule) if candidates == 2 else _n_way_rules(candidates)
