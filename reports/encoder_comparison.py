"""Tables that compare encoders by their voxel scores: the mean over a region's voxels, images as unit.

An encoder is a system (:mod:`.systems`) without what comes after it: runs that differ in decoder,
adapter or selection alone have one encoder, which is shown once.  Values come from
``region_draws.parquet``: intervals from draws of images that all runs on the same images share, p by
sign flips of what each image contributes (:mod:`harness.statistics.drawn`).  With several subjects the
mean over subjects is compared; those who saw the same images share the draws, others are drawn apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.errors import DataError, suggest
from harness.results import RunResult
from harness.statistics import PairedDifference, drawn_differences, drawn_intervals, holm, tie_letters

from .comparable import definition_difference
from .layout import MetricInfo, ordered_metrics
from .systems import System
from .values import ENCODING_ROWS, stored

ALPHA = 0.05
DEFAULT_KINDS = ("all", "group")
KINDS = ("all", "group", "roi")

Key = tuple[str, str, str]
"""Metric, kind and region."""

REGION_MEAN_COLUMNS = ("system", "metric", "metric_label", "region", "kind", "unit", "higher_is_better")
REGION_MEAN_COLUMNS += ("chance", "n_voxels", "mean", "low", "high", "n", "subjects", "group")
REGION_DIFFERENCE_COLUMNS = ("a", "b", "metric", "metric_label", "region", "kind", "unit")
REGION_DIFFERENCE_COLUMNS += ("higher_is_better", "n_voxels", "difference", "low", "high")
REGION_DIFFERENCE_COLUMNS += ("p", "p_holm", "p_bootstrap", "n", "subjects", "better")

UNIT = "image"
"""What is drawn and flipped; voxels are neither independent nor a sample."""


@dataclass(frozen=True)
class EncoderScores:
    """Voxel scores by region of several encoders on the same images.

    lines : [subject][encoder] metric, kind and region -> line of :data:`harness.results.DRAW_COLUMNS`.
    names : metrics, with version, that can be compared; left_out : (metric, why) of the others.
    """

    encoders: tuple[System, ...]
    subjects: tuple[str, ...]
    lines: tuple[tuple[dict[Key, Any], ...], ...]
    names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, encoders: Sequence[System], subjects: Sequence[str]) -> EncoderScores:
        """Scores of those `encoders` that have any; comparable are metrics that all of these have."""
        notes, kept = [], []
        for encoder in encoders:
            runs = [encoder.runs[subject] for subject in subjects]
            if all(_lines(run, encoder.row) for run in runs):
                kept.append(encoder)
            elif old := [run.folder.name for run in runs if _is_older(run, encoder.row)]:
                notes.append(
                    f"voxel scores are not compared: {old[0]} holds no region_draws.parquet; "
                    "type the command of that run again"
                )
        lines = tuple(tuple(_lines(e.runs[subject], e.row) for e in kept) for subject in subjects)
        sides = [side for of_subject in lines for side in of_subject]
        every = list(dict.fromkeys(key for side in sides for key in side)) if len(kept) > 1 else []
        problems = {name: _difference(name, kept, subjects, lines) for name, _, _ in every}
        names = tuple(name for name, why in problems.items() if not why)
        left_out = tuple((name, why) for name, why in problems.items() if why)
        partial = [key for key in every if key[0] in names and not all(key in side for side in sides)]
        for region in dict.fromkeys(region for _, _, region in partial):
            notes.append(f"voxel scores of '{region}' are not compared: not all runs have it")
        return cls(tuple(kept), tuple(subjects), lines, names, left_out, tuple(dict.fromkeys(notes)))

    @cached_property
    def keys(self) -> list[Key]:
        """What every encoder and subject has a score of, by kind of region."""
        sides = [line for side in self.lines for line in side]
        shared = [
            key
            for key in (sides[0] if sides else ())
            if key[0] in self.names and all(key in one and np.isfinite(one[key].value) for one in sides)
        ]
        return sorted(shared, key=lambda key: KINDS.index(key[1]) if key[1] in KINDS else len(KINDS))

    def chosen(self, regions: Collection[str] | None) -> list[Key]:
        """Keys of the `regions` named; None: all voxels and the groups; ``all``: every region."""
        if regions is None:
            return [key for key in self.keys if key[1] in DEFAULT_KINDS]
        known = list(dict.fromkeys(region for _, _, region in self.keys))
        if "all" in regions or not known:
            return self.keys
        for one in regions:
            if one not in known:
                raise DataError(suggest(one, known, what="region"))
        return [key for key in self.keys if key[2] in regions]


def encoder_tables(
    scores: EncoderScores,
    *,
    metrics: Collection[str] | None,
    regions: Collection[str] | None,
    flips: int,
    seed: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines of means and of differences, Holm's correction over all of the latter.

    metrics : names with version, None for all; regions : see :meth:`EncoderScores.chosen`.
    """
    wanted = scores.names if metrics is None else [name for name in scores.names if name in metrics]
    if len(scores.encoders) < 2 or not wanted:
        return [], []
    run = scores.encoders[0].runs[scores.subjects[0]]
    infos = {info.name: info for info in ordered_metrics(run, wanted)}
    chosen = scores.chosen(regions)
    keys = [key for name in infos for key in chosen if key[0] == name]
    if not keys:
        return [], []
    arrays = _Arrays.of(scores, keys)
    pairs = list(itertools.combinations(range(len(scores.encoders)), 2))
    tests = arrays.tests(pairs, flips=max(flips, int(2 * len(pairs) * len(keys) / ALPHA)), seed=seed)
    corrected = holm([test.p for test in tests])
    means, differences = [], []
    for k, key in enumerate(keys):
        info = infos[key[0]]
        common = _described(info, key) | {"n_voxels": arrays.voxels[k], "subjects": len(scores.subjects)}
        apart = np.zeros((len(scores.encoders),) * 2, bool)
        for number, (a, b) in enumerate(pairs):
            test, p = tests[number * len(keys) + k], float(corrected[number * len(keys) + k])
            told = p < ALPHA and (test.low > 0 or test.high < 0)
            apart[[a, b], [b, a]] = told
            winner = scores.encoders[a if (test.low > 0) == info.higher_is_better else b].label
            found = {name: getattr(test, name) for name in ("low", "high", "p", "p_bootstrap", "n")}
            differences.append(
                common
                | {"a": scores.encoders[a].label, "b": scores.encoders[b].label, "difference": test.mean}
                | found
                | {"p_holm": p, "better": winner if told else ""}
            )
        intervals = drawn_intervals(arrays.values[..., k], arrays.draws[:, :, k], arrays.counts[:, k])
        sign = -1 if info.higher_is_better else 1
        order = np.argsort([sign * one.mean for one in intervals], kind="stable").tolist()
        for encoder, one, group in zip(scores.encoders, intervals, tie_letters(apart, order)):
            found = {name: getattr(one, name) for name in ("mean", "low", "high", "n")}
            means.append(common | {"system": encoder.label, "group": group} | found)
    return means, differences


@dataclass(frozen=True)
class _Arrays:
    """Of S subjects, E encoders, K keys, D draws, N images of any subject.

    values : (S, E, K); draws : (S, E, K, D); contributions : (S, N, E, K), NaN where a subject lacks
    the image; voxels : (K,) of all subjects.
    """

    values: np.ndarray
    draws: np.ndarray
    contributions: np.ndarray
    voxels: tuple[int, ...]

    @classmethod
    def of(cls, scores: EncoderScores, keys: Sequence[Key]) -> _Arrays:
        lines = [[[side[key] for key in keys] for side in subject] for subject in scores.lines]
        ids = sorted({one for subject in lines for one in subject[0][0].image_ids})
        place = {one: k for k, one in enumerate(ids)}
        contributions = np.full((len(lines), len(ids), len(scores.encoders), len(keys)), np.nan)
        for s, subject in enumerate(lines):
            at = [place[one] for one in subject[0][0].image_ids]
            for e, side in enumerate(subject):
                contributions[s, at, e] = np.stack([line.contributions for line in side], axis=1)
        return cls(
            np.array([[[line.value for line in side] for side in subject] for subject in lines], np.float64),
            np.array([[[line.draws for line in side] for side in subject] for subject in lines], np.float64),
            contributions,
            tuple(sum(subject[0][k].n_voxels for subject in lines) for k in range(len(keys))),
        )

    @property
    def counts(self) -> np.ndarray:
        """(E, K) images."""
        return np.isfinite(self.contributions).any(axis=0).sum(axis=0)

    def tests(self, pairs: Sequence[tuple[int, int]], *, flips: int, seed: int) -> Sequence[PairedDifference]:
        """Of each of `pairs`, for each of the K keys, in this order."""
        a, b = (list(side) for side in zip(*pairs))
        subjects, draws = len(self.values), self.draws.shape[-1]
        return drawn_differences(
            (self.values[:, a] - self.values[:, b]).reshape(subjects, -1),
            (self.draws[:, a] - self.draws[:, b]).reshape(subjects, -1, draws),
            (self.contributions[:, :, a] - self.contributions[:, :, b]).reshape(
                *self.contributions.shape[:2], -1
            ),
            flips=flips,
            seed=seed,
        )


def _difference(
    name: str, encoders: Sequence[System], subjects: Sequence[str], lines: Sequence[Sequence[dict[Key, Any]]]
) -> str:
    """Why the metric `name` cannot be compared, or ``""``."""
    runs = [encoder.runs[subject] for subject in subjects for encoder in encoders]
    for subject, sides in zip(subjects, lines):
        found = [[line for key, line in side.items() if key[0] == name] for side in sides]
        for encoder, own in zip(encoders, found):
            if not own:
                return f"not scored in {encoder.runs[subject].folder.name} for {encoder.row}"
        if len({(line.pool, len(line.draws)) for own in found for line in own}) > 1:
            return "one value for all test images together, and the test images differ"
    return definition_difference(name, runs)


def _lines(run: RunResult, row: str) -> dict[Key, Any]:
    table = stored(run, "region_draws")
    return {(line.metric, line.kind, line.region): line for line in table[table["row"] == row].itertuples()}


def _is_older(run: RunResult, row: str) -> bool:
    """Whether `run` has voxel scores of an encoder's `row` from before draws were kept."""
    if row not in ENCODING_ROWS or (run.folder / "region_draws.parquet").is_file():
        return False
    return row in set(stored(run, "voxel_scores")["row"])


def _described(info: MetricInfo, key: Key) -> dict[str, Any]:
    return {
        "metric": info.name,
        "metric_label": info.label,
        "kind": key[1],
        "region": key[2],
        "unit": UNIT,
        "higher_is_better": info.higher_is_better,
        "chance": info.chance,
    }
