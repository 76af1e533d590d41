"""May runs be compared, what do they differ in, and which of their metrics mean the same thing?

Benchmark, test images and measured test responses must be the same; where runs were limited to
different subsets of one test set, the images they share are compared.  Whatever else differs (training
data, settings, seeds, code) is what a comparison is for, and is said.  A metric that depends on its
pool is compared within one pool only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import DataError
from harness.results import MetricRecord, RunResult

from .values import stored

TEST_DATA = ("test_stimuli", "test_responses")
TRAIN_DATA = ("train_stimuli", "train_responses")

DEFINITION = ("inputs", "unit", "higher_is_better", "chance", "backbone", "pool")
"""What ``run.json`` says of a metric that must be equal in all runs."""


def benchmark(run: RunResult) -> str:
    """``name@version``."""
    given = run.record.benchmark
    return f"{given.name or 'unknown'}@{given.version}"


def check_benchmark(runs: Sequence[RunResult]) -> list[str]:
    """Notes on how `runs` differ.

    Raises
    ------
    DataError
        Other benchmarks, or other test data under the name of one benchmark and subject.
    """
    names = {benchmark(run): run for run in runs}
    if len(names) > 1:
        listed = "; ".join(f"{run.folder}: {name}" for name, run in names.items())
        raise DataError(
            f"the runs are of different benchmarks ({listed}); give runs of one benchmark@version"
        )
    notes = []
    by_subject: dict[str, list[RunResult]] = {}
    for run in runs:
        by_subject.setdefault(run.record.subject, []).append(run)
    for subject, own in by_subject.items():
        for run in own[1:]:
            notes += _data_notes(own[0], run, subject)
    notes += code_notes(runs)
    return list(dict.fromkeys(notes))


def comparable_metrics(
    runs: Sequence[RunResult], rows: Sequence[str], target: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """Metrics (``name@version``) that all `runs` have for all `rows`, and (metric, why) of the others."""
    kept, left = [], []
    tables = []
    for run in runs:
        scores = stored(run, "scores")
        tables.append(scores[(scores["target"] == target) & scores["row"].isin(list(rows))])
    order: dict[str, None] = {}
    for run, table in zip(runs, tables):
        there = set(table["metric"])
        order |= dict.fromkeys(name for name in _described(run) if name in there)
        order |= dict.fromkeys(sorted(there))
    for name in order:
        why = _difference(name, runs, tables, rows)
        if why:
            left.append((name, why))
        else:
            kept.append(name)
    return kept, left


def definition_difference(name: str, runs: Sequence[RunResult]) -> str:
    """In what `runs` do not mean the same by the metric `name`, or ``""``."""
    for key in DEFINITION:
        values = {str(getattr(_described(run).get(name, MetricRecord()), key)) for run in runs}
        if len(values) > 1:
            return f"another definition: {key} is {' or '.join(sorted(values))}"
    return ""


def _difference(name: str, runs: Sequence[RunResult], tables: Sequence[Any], rows: Sequence[str]) -> str:
    """Why the metric `name` cannot be compared, or ``""``."""
    parts = [table[table["metric"] == name] for table in tables]
    for run, part in zip(runs, parts):
        missing = [row for row in rows if row not in set(part["row"])]
        if missing:
            return f"not scored in {run.folder.name} for {', '.join(missing)}"
    if why := definition_difference(name, runs):
        return why
    pools = {pool for part in parts for pool in set(part["pool"])}
    if len(pools) > 1:
        return "depends on its pool of images, and the pools differ"
    return ""


def _data_notes(first: RunResult, other: RunResult, subject: str) -> list[str]:
    ours, theirs = first.record.data_sha, other.record.data_sha
    here = f" of {subject}" if subject else ""
    notes = []
    changed = [name for name in TEST_DATA if getattr(ours, name) != getattr(theirs, name)]
    if changed:
        if _subset(first) == _subset(other) or _params(first) != _params(other):
            settings = _changes(_params(first), _params(other))
            what = " and ".join(name.replace("_", " ") for name in changed)
            raise DataError(
                f"{first.folder} and {other.folder} have different {what}{here}"
                + (f" ({settings})" if settings else "")
                + "; run both again on the same benchmark settings"
            )
        notes.append(
            f"test images{here} differ: {_subset(first) or 'all'} in {first.folder.name}, "
            f"{_subset(other) or 'all'} in {other.folder.name}; the images that both have are compared"
        )
    if any(getattr(ours, name) != getattr(theirs, name) for name in TRAIN_DATA):
        notes.append(
            f"training data{here} differ: {first.record.n_train} images in {first.folder.name}, "
            f"{other.record.n_train} in {other.folder.name}"
        )
    return notes


def code_notes(runs: Sequence[RunResult]) -> list[str]:
    """A note on metrics of one name and version whose files differ between `runs`."""
    hashes: dict[str, set[str]] = {}
    for run in runs:
        for name, given in _described(run).items():
            hashes.setdefault(name, set()).add(given.file_sha)
    changed = sorted(name for name, shas in hashes.items() if len(shas) > 1)
    if not changed:
        return []
    return [f"scored by different code under one version: {', '.join(changed)}; run again to be sure"]


def _described(run: RunResult) -> dict[str, MetricRecord]:
    return {metric.name: metric for metric in run.record.metrics}


def _subset(run: RunResult) -> str:
    return run.record.subset.name if run.record.subset else ""


def _params(run: RunResult) -> Mapping[str, Any]:
    return run.record.benchmark.params


def _changes(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """``key: a / b`` of every parameter that differs."""
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key}: {json.dumps(ours.get(key))} / {json.dumps(theirs.get(key))}" for key in keys)
