"""Means of a board's lines with intervals, tie groups, and whether decoders agree on the order.

Subjects are held fixed: the mean over subjects of each one's mean over images has an interval over images.
From four subjects on there is a second one that holds for other subjects, too.  Systems of a column are told
apart by paired tests on the same images, corrected by Holm's method over all pairs of that column.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.statistics import (
    Interval,
    SeedSpread,
    contributed_intervals,
    mean_intervals,
    mean_over_seeds,
    pairwise_ps,
    seed_spread,
    subjects_interval,
    tie_letters,
    told_apart,
)
from harness.statistics.intervals import contributions
from harness.statistics.orders import order_agreements

from .boards import ENTRY, Board, Entry
from .columns import Column
from .reading import ImageScores, Key

Read = Mapping[tuple[int, str], Mapping[Key, ImageScores]]
"""Run's ``id`` and row -> its scores."""

BLIND = ("responses",)
"""Levels whose scores no decoder can change."""


@dataclass(frozen=True)
class Estimated:
    """A line's score.

    mean : over subjects of the mean over images.  by_subject : of each subject, with its interval.
    over_subjects : ends of the interval that holds for other subjects, NaN of fewer than four.
    group : letters of its tie groups, ``""`` where it is no system.
    """

    mean: Interval
    by_subject: Mapping[str, Interval]
    over_subjects: tuple[float, float]
    group: str


@dataclass(frozen=True)
class LineValues:
    """One column of M lines: cube and rivalry (S, N, M), values (S, M) of scores that are no means, or None.

    spreads : [line][subject] of the seeds, None where there is one.
    """

    lines: tuple[Entry, ...]
    cube: np.ndarray
    rivalry: np.ndarray
    values: np.ndarray | None
    spreads: list[list[SeedSpread | None]]

    def seeds(self, m: int, subjects: slice = slice(None)) -> tuple[SeedSpread, ...]:
        """What the seeds of a line add to the variance of its mean over `subjects`."""
        own = self.spreads[m][subjects]
        return tuple(spread.of(len(own)) for spread in own if spread is not None)

    def of(self, members: Sequence[int]) -> dict[str, Any]:
        """Arguments of :func:`pairwise_ps` for some of the lines."""
        values = None if self.values is None else self.values[:, members]
        seeds = [self.seeds(m) for m in members]
        return {"rivalry": self.rivalry[:, :, members], "values": values, "seeds": seeds}

    def per_image(self, m: int) -> np.ndarray:
        """(N,) what each image gives a line, so that their mean is its score; NaN: no subject has it."""
        cube, rivalry = self.cube[:, :, [m]], self.rivalry[:, :, [m]]
        (mean,), (parts,), _ = contributions(cube, rivalry)
        line = np.full(cube.shape[1], np.nan)
        line[np.isfinite(cube[:, :, 0]).any(axis=0)] = parts
        return line + (mean if self.values is None else float(self.values[:, m].mean()))


def estimate(board: Board, column: Column, values: LineValues) -> dict[Entry, Estimated]:
    """The score `column` of every line of `values`."""
    if not values.lines:
        return {}
    whole = _intervals(values, column, slice(None))
    several = len(board.subjects) > 1
    own = [_intervals(values, column, slice(s, s + 1)) for s in range(len(board.subjects))] if several else []
    systems = [m for m, line in enumerate(values.lines) if line.kind == ENTRY]
    groups: dict[int, str] = {}
    if len(systems) > 1:
        ps = pairwise_ps(values.cube[:, :, systems], **values.of(systems))
        sign = -1 if column.metric.higher_is_better else 1
        order = np.argsort([sign * whole[m].mean for m in systems], kind="stable").tolist()
        groups = dict(zip(systems, tie_letters(told_apart(ps), order), strict=True))
    result = {}
    for m, line in enumerate(values.lines):
        scores = None if values.values is None else values.values[:, m]
        over = subjects_interval(values.cube[:, :, m], rivalry=values.rivalry[:, :, m], values=scores)
        by_subject = {name: of[m] for name, of in zip(board.subjects, own or [whole])}
        result[line] = Estimated(whole[m], by_subject, over, groups.get(m, ""))
    return result


def decoder_agreement(board: Board, column: Column, values: LineValues) -> list[dict[str, Any]]:
    """A line for each pair of decoders that share two encoders or more: tau of their orders."""
    if column.level in BLIND or len({line.decoder for line in board.systems}) < 2:
        return []
    under: dict[str, dict[tuple[str, str, str], int]] = {}
    for m, line in enumerate(values.lines):
        if line.kind == ENTRY:
            under.setdefault(line.decoder, {})[line.encoder, line.adapter, line.row.name] = m
    chosen = []
    for (first, ours), (second, theirs) in itertools.combinations(under.items(), 2):
        common = [key for key in ours if key in theirs]
        if len(common) > 1:
            sides = tuple(tuple(of[key] for key in common) for of in (ours, theirs))
            chosen.append((first, second, [encoder for encoder, _, _ in common], sides))
    if not chosen:
        return []
    sign = 1 if column.metric.higher_is_better else -1
    per_image = sign * np.stack([values.per_image(m) for m in range(len(values.lines))], axis=1)
    used = sorted({m for *_, sides in chosen for side in sides for m in side})
    place = {m: k for k, m in enumerate(used)}
    pairs = [tuple(tuple(place[m] for m in side) for side in sides) for *_, sides in chosen]
    means = np.nanmean(per_image[:, used], axis=0)
    lines = []
    taus = order_agreements(per_image[:, used], pairs)
    for (first, second, encoders, _), sides, tau in zip(chosen, pairs, taus, strict=True):
        orders = [tuple(encoders[k] for k in np.argsort(-means[list(side)], kind="stable")) for side in sides]
        lines.append(
            {"decoder_a": first, "decoder_b": second, "encoders": len(encoders)}
            | {"tau": tau.value, "low": tau.low, "high": tau.high}
            | {"order_a": orders[0], "order_b": orders[1]}
        )
    return lines


def line_values(board: Board, column: Column, read: Read) -> LineValues:
    """What :func:`estimate` needs of every line of `board` that has `column` for all subjects."""
    scored: dict[Entry, list[list[ImageScores]]] = {}
    for line in board.entries:
        of_line = [
            [column.of(run, line.row.name, read[id(run), line.row.name]) for run in line.replicates[subject]]
            for subject in board.subjects
        ]
        if all(score is not None and np.isfinite(score.values).any() for own in of_line for score in own):
            scored[line] = of_line
    every = [score for of_line in scored.values() for own in of_line for score in own]
    unique = {id(score.ids): score.ids for score in every}
    ids = sorted({name for names in unique.values() for name in names})
    place = {name: k for k, name in enumerate(ids)}
    at = {key: np.array([place[name] for name in names], np.int64) for key, names in unique.items()}
    shape = (len(board.subjects), len(ids), len(scored))
    cube, rivalry = np.full(shape, np.nan), np.zeros(shape)
    contributed = any(score.value is not None for score in every)
    values = np.full((shape[0], shape[2]), np.nan) if contributed else None
    spreads = []
    for m, of_line in enumerate(scored.values()):
        of_seeds = []
        for s, own in enumerate(of_line):
            scores, others = np.full((len(own), len(ids)), np.nan), np.zeros((len(own), len(ids)))
            for r, score in enumerate(own):
                scores[r, at[id(score.ids)]] = score.values
                if score.rivalry is not None:
                    others[r, at[id(score.ids)]] = score.rivalry
            cube[s, :, m], rivalry[s, :, m] = mean_over_seeds(scores), mean_over_seeds(others)
            if values is not None:
                values[s, m] = np.mean([score.value for score in own])
            spread = seed_spread(scores + np.nan_to_num(others)) if len(own) > 1 else None
            of_seeds.append(spread)
        spreads.append(of_seeds)
    return LineValues(tuple(scored), cube, rivalry, values, spreads)


def _intervals(values: LineValues, column: Column, subjects: slice) -> tuple[Interval, ...]:
    seeds = [values.seeds(m, subjects) for m in range(len(values.lines))]
    if values.values is not None:
        return contributed_intervals(values.values[subjects], values.cube[subjects], seeds=seeds)
    limits = [column.metric.limits] * len(values.lines)
    rivalry = values.rivalry[subjects]
    return mean_intervals(values.cube[subjects], rivalry=rivalry, limits=limits, seeds=seeds)
