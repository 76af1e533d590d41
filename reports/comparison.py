"""Tables that compare systems: runs of several encoders, or several rows of one run, on the same images.

A system is a row of a run; runs that differ in nothing but the subject are one system, whose score is
the mean over subjects of each subject's mean over images.  Subjects are held fixed: an image, and every swap
of labels, is one for all subjects, systems and metrics.  Runs that differ in the seed are replicates of one
system: its score is their mean, and how far they lie apart is part of every interval and p
(:mod:`harness.statistics.replicates`).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import DataError, suggest
from harness.results import RunResult
from harness.statistics import (
    holm,
    mean_intervals,
    paired_differences,
    paired_effects,
    tie_letters,
    variance_components,
)
from harness.statistics.components import PARTS

from .comparable import check_benchmark, comparable_metrics
from .compared_images import ImageScores
from .encoder_comparison import (
    REGION_DIFFERENCE_COLUMNS,
    REGION_MEAN_COLUMNS,
    EncoderScores,
    encoder_tables,
    family_name,
)
from .layout import MetricInfo, is_simulated, ordered_metrics
from .systems import System, find_encoders, find_systems, seed_of
from .tables import ALPHA
from .values import image_values, stored

if TYPE_CHECKING:
    import pandas as pd

FLIPS = 10_000
SEED = 0

TARGETS = ("stimulus", "measured", "responses", "training", "brain")

MEAN_COLUMNS = ("system", "metric", "metric_label", "target", "higher_is_better", "chance")
MEAN_COLUMNS += ("mean", "low", "high", "n", "missing", "doubt", "subjects", "seeds", "group")
DIFFERENCE_COLUMNS = ("a", "b", "metric", "metric_label", "target", "higher_is_better", "difference")
DIFFERENCE_COLUMNS += ("low", "high", "p", "p_holm", "p_t", "effect", "better_on", "n", "subjects")
DIFFERENCE_COLUMNS += ("seeds_a", "seeds_b", "better", "family")
SUBJECT_COLUMNS = ("system", "subject", "seed", "run", "metric", "mean", "n")
VARIANCE_COLUMNS = ("system", "subject", "seed", "metric", "metric_label", "target", "mean")
VARIANCE_COLUMNS += (*PARTS, *(f"{part}_share" for part in PARTS), "n", "values")


@dataclass(frozen=True)
class Comparison:
    """Tables of a comparison, columns as named above, and what a reader must know.

    means : one line per metric and system.  ``group`` holds the letters of its tie groups: systems
        that share a letter were not told apart, ``a`` being the best (:mod:`harness.statistics.groups`).
    differences : one line per metric and pair, `a` less `b`.  ``p`` by sign flips, or of the
        interval where a side has several seeds (``seeds_a``, ``seeds_b``), ``p_holm`` corrected over all
        lines of this table, which ``family`` describes, ``p_t`` of the interval; ``better`` names the better
        system, told apart when ``p_holm`` is below 0.05 and the interval excludes 0, else ``""``.  ``effect``
        is the difference over its standard deviation over images, ``better_on`` the share of images on which
        `a` is the better (:mod:`harness.statistics.effects`).
    subjects : the points behind each mean, one for each subject and seed.
    variance : components per system, subject, seed and metric, where trials or samples vary.
    encoders : the systems as encoders, and region_means and region_differences like means and
        differences of their voxel scores by region (:mod:`.encoder_comparison`), with a correction of
        their own; empty where the rows are no encoder's.
    left_out : (metric, why) of metrics that cannot be compared.
    """

    systems: tuple[System, ...]
    means: pd.DataFrame
    differences: pd.DataFrame
    subjects: pd.DataFrame
    variance: pd.DataFrame
    encoders: tuple[System, ...]
    region_means: pd.DataFrame
    region_differences: pd.DataFrame
    notes: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    simulated: bool

    @property
    def families(self) -> dict[str, str]:
        """Table -> what Holm's correction runs over, in words."""
        tables = {name: self.tables[name] for name in ("differences", "region_differences")}
        return {name: str(table["family"].iloc[0]) for name, table in tables.items() if len(table)}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        names = ("means", "differences", "subjects", "variance", "region_means", "region_differences")
        return {name: getattr(self, name) for name in names}


def compare(
    runs: Sequence[RunResult],
    *,
    rows: Sequence[str] = ("predicted",),
    target: str = "stimulus",
    metrics: Collection[str] | None = None,
    regions: Collection[str] | None = None,
    flips: int = FLIPS,
    seed: int = SEED,
) -> Comparison:
    """Compare `rows` of `runs` by their image scores against `target`, and encoders by voxel scores.

    target : ``stimulus``; ``measured``, the measured reconstructions; ``responses``; ``training``, the
        nearest training image; or ``brain``, responses that an encoder predicts for the image.
    metrics : names with or without version; None means all that the runs share.
    regions : of the voxel scores; None means all voxels and the cortical groups, ``all`` every ROI too.

    Raises
    ------
    DataError
        Fewer than two systems, or runs that cannot be compared, with what differs.
    """
    folders = [run.folder.resolve() for run in runs]
    if twice := [folder for folder in folders if folders.count(folder) > 1]:
        raise DataError(f"{twice[0]} is given twice; give each run once")
    notes = check_benchmark(runs)
    systems = _systems(runs, rows)
    subjects = _shared_subjects(systems)
    notes += [*_subject_notes(systems, subjects), *_seed_notes(systems)]
    used = [run for system in systems for name in subjects for run in system.replicates[name]]
    names, left_out = comparable_metrics(used, rows, target)
    voxels = EncoderScores.of(find_encoders(systems), subjects)
    left_out += voxels.left_out
    voxel_names = list(voxels.names)
    if metrics is not None:
        names, voxel_names = _asked([names, voxel_names], left_out, metrics)
    arrays = ImageScores.of(systems, subjects, names, target) if names else None
    for name, why in _unscored(systems, names, arrays):
        left_out.append((name, why))
        arrays = arrays.without(names.index(name))
        names.remove(name)
    if not names and not voxel_names:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out) or "there are none"
        raise DataError(f"the runs share no metric against '{target}' ({why})")
    infos = ordered_metrics(used[0], names)
    common = {"target": target}
    differences, told = _differences(systems, infos, arrays, flips, seed) if names else ([], {})
    means = _means(systems, infos, arrays, told) if names else []
    region_means, region_differences = encoder_tables(
        voxels, metrics=voxel_names, regions=regions, flips=flips, seed=seed
    )
    return Comparison(
        systems=tuple(systems),
        means=_frame(means, MEAN_COLUMNS, **common),
        differences=_frame(differences, DIFFERENCE_COLUMNS, **common),
        subjects=_frame(_points(systems, subjects, infos, target) if names else [], SUBJECT_COLUMNS),
        variance=_frame(_variance(systems, subjects, infos, target), VARIANCE_COLUMNS, **common),
        encoders=voxels.encoders,
        region_means=_frame(region_means, REGION_MEAN_COLUMNS),
        region_differences=_frame(region_differences, REGION_DIFFERENCE_COLUMNS),
        notes=(*notes, *voxels.notes),
        left_out=tuple(left_out),
        simulated=any(is_simulated(run) for run in used),
    )


def _systems(runs: Sequence[RunResult], rows: Sequence[str]) -> list[System]:
    """Two or more systems that `rows` of `runs` are; :class:`DataError` for a row that a run lacks."""
    for run, row in itertools.product(runs, rows):
        stored_rows = list(
            dict.fromkeys([*stored(run, "scores")["row"], *stored(run, "region_contributions")["row"]])
        )
        if row not in stored_rows:
            raise DataError(
                f"{run.folder} has no row '{row}'; its rows: {', '.join(stored_rows)}. "
                "Type --row with one of them"
            )
    systems = find_systems(runs, rows)
    if len(systems) < 2:
        seeds = f", of seeds {', '.join(systems[0].seeds)}," if len(systems[0].seeds) > 1 else ""
        raise DataError(
            f"there is one system{seeds} to compare with nothing; give runs of two encoders, or --row more "
            "than once"
        )
    return systems


def _shared_subjects(systems: Sequence[System]) -> list[str]:
    """Subjects that every system has."""
    subjects = [name for name in systems[0].runs if all(name in system.runs for system in systems)]
    if not subjects:
        listed = "; ".join(f"{system.label}: {', '.join(system.runs)}" for system in systems)
        raise DataError(f"no subject is in all of the systems ({listed}); compare runs of the same subjects")
    return subjects


def _subject_notes(systems: Sequence[System], subjects: Sequence[str]) -> list[str]:
    """What of each system is not compared, for the others lack its subject."""
    alone = {system.label: [name for name in system.runs if name not in subjects] for system in systems}
    return [
        f"left out: {', '.join(names)} of {label}, which not all systems have"
        for label, names in alone.items()
        if names
    ]


def _unscored(
    systems: Sequence[System], names: Sequence[str], arrays: ImageScores | None
) -> list[tuple[str, str]]:
    """(metric, why) of metrics `names` by which some system has no score of any image."""
    problems = []
    for k, name in enumerate(names):
        scored = np.isfinite(arrays.values[..., k]).any(axis=(0, 1))  # by system
        if not scored.all():
            problems.append((name, f"no image was scored for {systems[int(np.argmin(scored))].label}"))
    return problems


def _seed_notes(systems: Sequence[System]) -> list[str]:
    """What seeds have to do with the intervals."""
    several = [system for system in systems if len(system.seeds) > 1]
    single = [system for system in systems if len(system.seeds) == 1]
    notes = [
        f"{system.label}: seeds {', '.join(system.seeds)} are replicates of one system; its mean is over "
        "them, and intervals and p take in how far they lie apart"
        for system in several
    ]
    if single:
        which = "all systems" if not several else ", ".join(system.label for system in single)
        notes.append(
            f"one seed of {which}: what another seed of fit or decoder would score is in no interval and no "
            "p; give runs of several seeds (--seed 1, --seed 2) to have it in"
        )
    return notes


def _differences(
    systems: Sequence[System], infos: Sequence[MetricInfo], arrays: ImageScores, flips: int, seed: int
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Lines of the table, and metric -> (M, M) which systems were told apart."""
    pairs = list(itertools.combinations(range(len(systems)), 2))
    first, second = (list(side) for side in zip(*pairs))
    differences = arrays.flat(arrays.values[:, :, first] - arrays.values[:, :, second])
    effects = paired_effects(differences)
    tests = paired_differences(
        differences,
        rivalry=arrays.flat(arrays.rivalry[:, :, first] - arrays.rivalry[:, :, second]),
        seeds=[
            first_seeds + second_seeds
            for a, b in pairs
            for first_seeds, second_seeds in zip(arrays.spreads[a], arrays.spreads[b])
        ],
        flips=max(flips, int(2 * len(pairs) * len(infos) / ALPHA)),  # so that Holm can find anything
        seed=seed,
    )
    corrected = holm([test.p for test in tests])
    family = family_name(len(pairs), "systems", len(infos), "metric")
    told = {metric.name: np.zeros((len(systems), len(systems)), bool) for metric in infos}
    lines = []
    for k, metric in enumerate(infos):
        for number, (a, b) in enumerate(pairs):
            at = number * len(infos) + k
            test, p, effect = tests[at], float(corrected[at]), effects[at]
            apart = p < ALPHA and (test.low > 0 or test.high < 0)
            told[metric.name][[a, b], [b, a]] = apart
            winner = systems[a if (test.low > 0) == metric.higher_is_better else b].label
            lines.append(
                {
                    "a": systems[a].label,
                    "b": systems[b].label,
                    **_described(metric),
                    "difference": test.mean,
                    **{name: getattr(test, name) for name in ("low", "high", "p", "p_t", "n")},
                    "p_holm": p,
                    "effect": effect.d,
                    "better_on": effect.above if metric.higher_is_better else 1 - effect.above,
                    "subjects": len(arrays.subjects),
                    "seeds_a": len(systems[a].seeds),
                    "seeds_b": len(systems[b].seeds),
                    "better": winner if apart else "",
                    "family": family,
                }
            )
    return lines, told


def _means(
    systems: Sequence[System],
    infos: Sequence[MetricInfo],
    arrays: ImageScores,
    told: dict[str, np.ndarray],
) -> list[dict[str, Any]]:
    intervals = mean_intervals(
        arrays.flat(arrays.values),
        rivalry=arrays.flat(arrays.rivalry),
        limits=[metric.limits for _ in systems for metric in infos],
        seeds=[own for line in arrays.spreads for own in line],
    )
    lines = []
    for k, metric in enumerate(infos):
        own = intervals[k :: len(infos)]
        sign = -1 if metric.higher_is_better else 1
        best_first = np.argsort([sign * estimate.mean for estimate in own], kind="stable").tolist()
        letters = tie_letters(told[metric.name], best_first)
        for system, interval, group in zip(systems, own, letters):
            fields = ("mean", "low", "high", "n", "missing", "doubt")
            estimate = {name: getattr(interval, name) for name in fields}
            more = {
                "subjects": len(arrays.subjects),
                "seeds": len(system.seeds),
                "group": group if np.isfinite(interval.mean) else "",
            }
            lines.append({"system": system.label, **_described(metric), **estimate, **more})
    return lines


def _points(
    systems: Sequence[System], subjects: Sequence[str], infos: Sequence[MetricInfo], target: str
) -> list[dict[str, Any]]:
    """The mean of each subject and seed."""
    lines = []
    for subject, system in itertools.product(subjects, systems):
        for run in system.replicates[subject]:
            table = image_values(run, target)[system.row]
            for metric in infos:
                values = table[metric.name].to_numpy(float)
                scored = values[np.isfinite(values)]
                mean = float(scored.mean()) if len(scored) else float("nan")
                line = {"system": system.label, "subject": subject, "seed": seed_of(run)}
                line |= {"run": run.folder.name, "metric": metric.name, "mean": mean, "n": len(scored)}
                lines.append(line)
    return lines


def _variance(
    systems: Sequence[System], subjects: Sequence[str], infos: Sequence[MetricInfo], target: str
) -> list[dict[str, Any]]:
    """Components where an image has more than one value."""
    lines = []
    for metric, system, subject in itertools.product(infos, systems, subjects):
        for run in system.replicates[subject]:
            scores = stored(run, "scores")
            part = scores[
                (scores["target"] == target)
                & (scores["row"] == system.row)
                & (scores["metric"] == metric.name)
            ]
            if part["image_id"].nunique() == len(part):
                continue
            components = variance_components(
                part["value"].to_numpy(float), part["image_id"], part["trial"], part["sample"]
            )
            shares = {f"{name}_share": share for name, share in components.shares().items()}
            line = {"system": system.label, "subject": subject, "seed": seed_of(run)}
            lines.append({**line, **_described(metric), **vars(components), **shares})
    return lines


def _asked(
    kinds: Sequence[list[str]], left_out: list[tuple[str, str]], asked: Collection[str]
) -> list[list[str]]:
    """Those of each list of metrics that were `asked` for; `left_out` keeps those too."""
    metrics = [*itertools.chain(*kinds), *(name for name, _ in left_out)]
    for wanted in asked:
        if not any(wanted in (name, name.rpartition("@")[0]) for name in metrics):
            raise DataError(suggest(wanted, [name.rpartition("@")[0] for name in metrics], what="metric"))
    left_out[:] = [pair for pair in left_out if {pair[0], pair[0].rpartition("@")[0]} & set(asked)]
    return [[name for name in names if {name, name.rpartition("@")[0]} & set(asked)] for names in kinds]


def _described(metric: MetricInfo) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "metric_label": metric.label,
        "higher_is_better": metric.higher_is_better,
        "chance": metric.chance,
    }


def _frame(lines: list[dict[str, Any]], columns: tuple[str, ...], **constant: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([{**line, **constant} for line in lines], columns=list(columns))
