"""Tables that compare encoders by their voxel scores: the mean over a region's voxels, images as unit.

An encoder is a system (:mod:`.systems`) without what comes after it: runs that differ in decoder,
adapter or selection alone have one encoder, which is shown once.  Values come from
``region_contributions.parquet``: intervals and sign flips are of what each image contributes
(:mod:`harness.statistics.contributed`).  With several subjects the mean over subjects is compared, with
several seeds the mean over seeds, whose spread is part of every interval.
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
from harness.statistics import (
    Effect,
    Interval,
    PairedDifference,
    SeedSpread,
    contributed_differences,
    contributed_intervals,
    holm,
    mean_over_seeds,
    paired_effects,
    seed_spread,
    tie_letters,
)

from .comparable import definition_difference
from .layout import MetricInfo, ordered_metrics
from .systems import System
from .tables import ALPHA
from .values import ENCODING_ROWS, stored

DEFAULT_KINDS = ("all", "group")
KINDS = ("all", "group", "roi")

Key = tuple[str, str, str]
"""Metric, kind and region."""

REGION_MEAN_COLUMNS = ("system", "metric", "metric_label", "region", "kind", "unit", "higher_is_better")
REGION_MEAN_COLUMNS += ("chance", "n_voxels", "mean", "low", "high", "n", "subjects", "seeds", "group")
REGION_DIFFERENCE_COLUMNS = ("a", "b", "metric", "metric_label", "region", "kind", "unit")
REGION_DIFFERENCE_COLUMNS += ("higher_is_better", "n_voxels", "difference", "low", "high")
REGION_DIFFERENCE_COLUMNS += ("p", "p_holm", "p_t", "effect", "n", "subjects", "seeds_a", "seeds_b")
REGION_DIFFERENCE_COLUMNS += ("better", "family")

UNIT = "image"
"""What intervals and flips are over; voxels are neither independent nor a sample."""


@dataclass(frozen=True)
class EncoderScores:
    """Voxel scores by region of several encoders on the same images.

    lines : [subject][encoder][seed] metric, kind and region -> line of
        :data:`harness.results.CONTRIBUTION_COLUMNS`.
    names : metrics, with version, that can be compared; left_out : (metric, why) of the others.
    """

    encoders: tuple[System, ...]
    subjects: tuple[str, ...]
    lines: tuple[tuple[tuple[dict[Key, Any], ...], ...], ...]
    names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, encoders: Sequence[System], subjects: Sequence[str]) -> EncoderScores:
        """Scores of those `encoders` that have any; comparable are metrics that all of these have."""
        notes, kept = [], []
        for encoder in encoders:
            runs = [run for subject in subjects for run in encoder.replicates[subject]]
            if all(_lines(run, encoder.row) for run in runs):
                kept.append(encoder)
            elif old := [run.folder.name for run in runs if _is_older(run, encoder.row)]:
                notes.append(
                    f"voxel scores are not compared: {old[0]} holds no region_contributions.parquet; "
                    "type the command of that run again"
                )
        lines = tuple(
            tuple(tuple(_lines(run, e.row) for run in e.replicates[subject]) for e in kept)
            for subject in subjects
        )
        sides = [side for of_subject in lines for of_encoder in of_subject for side in of_encoder]
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
        sides = [side for of_subject in self.lines for of_encoder in of_subject for side in of_encoder]
        shared = [
            key
            for key in (sides[0] if sides else ())
            if key[0] in self.names and all(key in side and np.isfinite(side[key].value) for side in sides)
        ]
        return sorted(shared, key=lambda key: KINDS.index(key[1]) if key[1] in KINDS else len(KINDS))

    def chosen(self, regions: Collection[str] | None) -> list[Key]:
        """Keys of the `regions` named; None: all voxels and the groups; ``all``: every region."""
        if regions is None:
            return [key for key in self.keys if key[1] in DEFAULT_KINDS]
        names = list(dict.fromkeys(region for _, _, region in self.keys))
        if "all" in regions or not names:
            return self.keys
        for wanted in regions:
            if wanted not in names:
                raise DataError(suggest(wanted, names, what="region"))
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
    effects = arrays.effects(pairs)
    corrected = holm([test.p for test in tests])
    family = family_name(len(pairs), "encoders", len(keys), "regional voxel score")
    means, differences = [], []
    for k, key in enumerate(keys):
        info = infos[key[0]]
        common = _described(info, key) | {"n_voxels": arrays.voxels[k], "subjects": len(scores.subjects)}
        apart = np.zeros((len(scores.encoders),) * 2, bool)
        for number, (a, b) in enumerate(pairs):
            at = number * len(keys) + k
            test, p = tests[at], float(corrected[at])
            first, second = scores.encoders[a], scores.encoders[b]
            told = p < ALPHA and (test.low > 0 or test.high < 0)
            apart[[a, b], [b, a]] = told
            winner = scores.encoders[a if (test.low > 0) == info.higher_is_better else b].label
            estimate = {name: getattr(test, name) for name in ("low", "high", "p", "p_t", "n")}
            differences.append(
                common
                | {"a": first.label, "b": second.label, "difference": test.mean}
                | {"seeds_a": len(first.seeds), "seeds_b": len(second.seeds)}
                | estimate
                | {"p_holm": p, "effect": effects[at].d, "better": winner if told else "", "family": family}
            )
        intervals = arrays.intervals(k)
        sign = -1 if info.higher_is_better else 1
        order = np.argsort([sign * interval.mean for interval in intervals], kind="stable").tolist()
        for encoder, interval, group in zip(scores.encoders, intervals, tie_letters(apart, order)):
            estimate = {name: getattr(interval, name) for name in ("mean", "low", "high", "n")}
            seeds = {"seeds": len(encoder.seeds)}
            means.append(common | {"system": encoder.label, "group": group} | estimate | seeds)
    return means, differences


def family_name(pairs: int, systems: str, scores: int, what: str) -> str:
    """Holm's family in words: what the correction of one table runs over; `what` is one of the `scores`."""

    def counted(number: int, word: str) -> str:
        return f"{number} {word}{'' if number == 1 else 's'}"

    return f"{counted(pairs * scores, 'comparison')}: {counted(pairs, 'pair')} of {systems} x " + counted(
        scores, what
    )


@dataclass(frozen=True)
class _Arrays:
    """Of S subjects, E encoders, K keys, N images of any subject; means over seeds.

    values : (S, E, K); contributions : (S, N, E, K), NaN where a subject lacks the image; voxels : (K,) of
    all subjects; spreads : [E][K] of the seeds, one for each subject that has several.
    """

    values: np.ndarray
    contributions: np.ndarray
    voxels: tuple[int, ...]
    spreads: tuple[tuple[tuple[SeedSpread, ...], ...], ...]

    @classmethod
    def of(cls, scores: EncoderScores, keys: Sequence[Key]) -> _Arrays:
        lines = [
            [[[line[key] for key in keys] for line in of_encoder] for of_encoder in of_subject]
            for of_subject in scores.lines
        ]
        ids = sorted({name for of_subject in lines for name in of_subject[0][0][0].image_ids})
        place = {name: k for k, name in enumerate(ids)}
        subjects, encoders = len(lines), len(scores.encoders)
        values = np.zeros((subjects, encoders, len(keys)))
        contributions = np.full((subjects, len(ids), encoders, len(keys)), np.nan)
        spreads: list[list[list[SeedSpread]]] = [[[] for _ in keys] for _ in range(encoders)]
        for s, of_subject in enumerate(lines):
            at = [place[name] for name in of_subject[0][0][0].image_ids]
            for e, of_encoder in enumerate(of_subject):
                parts = np.array([[line.contributions for line in side] for side in of_encoder], np.float64)
                values[s, e] = np.mean([[line.value for line in side] for side in of_encoder], axis=0)
                contributions[s, at, e] = mean_over_seeds(parts).T
                for k in range(len(keys)):
                    if (spread := seed_spread(parts[:, k])) is not None:
                        spreads[e][k].append(spread.of(subjects))
        voxels = tuple(sum(of_subject[0][0][k].n_voxels for of_subject in lines) for k in range(len(keys)))
        return cls(values, contributions, voxels, tuple(tuple(map(tuple, own)) for own in spreads))

    def intervals(self, k: int) -> tuple[Interval, ...]:
        """Of each encoder for one key."""
        return contributed_intervals(
            self.values[..., k], self.contributions[..., k], seeds=[own[k] for own in self.spreads]
        )

    def effects(self, pairs: Sequence[tuple[int, int]]) -> Sequence[Effect]:
        """Of what images contribute to each of `pairs`, for each of the K keys, in this order."""
        a, b = (list(side) for side in zip(*pairs))
        differences = self.contributions[:, :, a] - self.contributions[:, :, b]
        return paired_effects(differences.reshape(*differences.shape[:2], -1))

    def tests(self, pairs: Sequence[tuple[int, int]], *, flips: int, seed: int) -> Sequence[PairedDifference]:
        """Of each of `pairs`, for each of the K keys, in this order."""
        a, b = (list(side) for side in zip(*pairs))
        return contributed_differences(
            (self.values[:, a] - self.values[:, b]).reshape(len(self.values), -1),
            (self.contributions[:, :, a] - self.contributions[:, :, b]).reshape(
                *self.contributions.shape[:2], -1
            ),
            seeds=[
                first + second for a, b in pairs for first, second in zip(self.spreads[a], self.spreads[b])
            ],
            flips=flips,
            seed=seed,
        )


def _difference(
    name: str,
    encoders: Sequence[System],
    subjects: Sequence[str],
    lines: Sequence[Sequence[Sequence[dict[Key, Any]]]],
) -> str:
    """Why the metric `name` cannot be compared, or ``""``."""
    runs = []
    for subject, sides in zip(subjects, lines):
        pools = set()
        for encoder, of_encoder in zip(encoders, sides):
            for run, side in zip(encoder.replicates[subject], of_encoder):
                own = [line for key, line in side.items() if key[0] == name]
                if not own:
                    return f"not scored in {run.folder.name} for {encoder.row}"
                pools |= {line.pool for line in own}
                runs.append(run)
        if len(pools) > 1:
            return "one value for all test images together, and the test images differ"
    return definition_difference(name, runs)


def _lines(run: RunResult, row: str) -> dict[Key, Any]:
    table = stored(run, "region_contributions")
    return {(line.metric, line.kind, line.region): line for line in table[table["row"] == row].itertuples()}


def _is_older(run: RunResult, row: str) -> bool:
    """Whether `run` has voxel scores of an encoder's `row` from before contributions were kept."""
    if row not in ENCODING_ROWS or (run.folder / "region_contributions.parquet").is_file():
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
