"""Encoders of a suite side by side: scores with tie groups, controls, what each costs and what they share.

Every encoder is the row ``predicted`` of its runs.  Intervals and tie groups of voxel r over all voxels are
those of ``harness compare``; costs are processor seconds of the artifacts that a run used, whenever these
were made, since a fit that is taken from the store takes no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.published import base_name
from harness.results import RunRecord, RunResult

from .beside import cell_scores
from .encoder_comparison import EncoderScores, encoder_tables
from .layout import ordered_rows
from .suites import SuiteRun
from .systems import System
from .tables import FLIPS, SEED

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = "voxel-r"
ERROR = "voxel-mse"
WHOLE = "all voxels"
BLIND = "train-mean"
CONTROLS = ("zero", BLIND, "remeasured", "oracle")

COSTS = ("parameters", "fit_cpu_seconds", "predict_cpu_seconds")
COLUMNS = ("encoder", "kind", "runs", "low", "high", "group", *COSTS, "from_store", "below_training_mean")


def equal_terms_table(runs: Sequence[SuiteRun], columns: Sequence[str]) -> pd.DataFrame:
    """A line for each encoder, means over its subjects and seeds, and one for each control; :data:`COLUMNS`
    and the suite's `columns`.

    kind : ``encoder`` or ``control``.  low, high, group : 95 % interval over images of mean voxel r and the
    letters of its tie groups, ``a`` the best.  from_store : artifacts that were there already, of all that
    the first run used, by stage.  below_training_mean : its squared error is not below that of the mean
    training response.
    """
    import pandas as pd

    of_encoder: dict[str, list[RunResult]] = {}
    for suite_run in runs:
        of_encoder.setdefault(suite_run.encoder, []).append(suite_run.run)
    told = _tie_groups(of_encoder)
    lines = [
        {
            "encoder": encoder,
            "kind": "encoder",
            "runs": len(own),
            **told.get(encoder, {"group": ""}),
            **_costs([run.record for run in own]),
            "from_store": _from_store(own[0].record),
            "below_training_mean": _below_training_mean(own),
            **_means(own, columns),
        }
        for encoder, own in of_encoder.items()
    ]
    first = next(iter(of_encoder.values()))
    names = [row.name for row in first[0].record.rows]
    lines += [
        {
            "encoder": ordered_rows(first[0], [name])[0].label,
            "kind": "control",
            "runs": len(first),
            **_means(first, columns, row=name),
        }
        for name in CONTROLS
        if name in names
    ]
    return pd.DataFrame(lines, columns=[*COLUMNS, *columns])


def unequal_terms(runs: Sequence[SuiteRun]) -> list[str]:
    """In what the runs of one subject are not on equal terms, a sentence each; none where they are."""
    sentences = []
    by_subject: dict[str, list[SuiteRun]] = {}
    for suite_run in runs:
        by_subject.setdefault(suite_run.run.record.subject, []).append(suite_run)
    for subject, own in by_subject.items():
        for words, value in _TERMS:
            values = [value(suite_run.run.record) for suite_run in own]
            others = [run.encoder for run, each in zip(own, values) if each != values[0]]
            if others:
                named = ", ".join(dict.fromkeys(others))
                sentences.append(f"{subject}: other {words} than {own[0].encoder}: {named}")
    seeds = {name: sorted({r.seed for r in runs if r.encoder == name}) for name in {r.encoder for r in runs}}
    if len({tuple(own) for own in seeds.values()}) > 1:
        sentences.append("not all encoders have the same seeds")
    return sentences


_TERMS = (
    ("training images", lambda record: record.data_sha.train_stimuli),
    ("training responses", lambda record: record.data_sha.train_responses),
    ("test images", lambda record: record.data_sha.test_stimuli),
    ("test responses", lambda record: record.data_sha.test_responses),
    ("subjects to train on", lambda record: [part.responses_sha for part in record.train_subjects]),
    ("device", lambda record: record.device),
)


def _tie_groups(of_encoder: dict[str, list[RunResult]]) -> dict[str, dict[str, Any]]:
    """Encoder -> interval and group of mean voxel r; nothing where fewer than two have it."""
    systems = []
    for encoder, own in of_encoder.items():
        replicates: dict[str, tuple[RunResult, ...]] = {}
        for run in own:
            replicates[run.record.subject] = (*replicates.get(run.record.subject, ()), run)
        systems.append(System(encoder, "predicted", replicates))
    subjects = [name for name in systems[0].runs if all(name in system.runs for system in systems)]
    scores = EncoderScores.of(systems, subjects)
    names = [name for name in scores.names if base_name(name) == HEADLINE]
    if not subjects or len(scores.encoders) < 2 or not names:
        return {}
    means, _ = encoder_tables(scores, metrics=names, regions=[WHOLE], flips=FLIPS, seed=SEED)
    return {line["system"]: {key: line[key] for key in ("low", "high", "group")} for line in means}


def _means(runs: Sequence[RunResult], columns: Sequence[str], *, row: str = "") -> dict[str, float]:
    """Column -> mean over runs that have it, NaN without any."""
    scores = [cell_scores(run, row=row) for run in runs]
    values = {column: [own[column][0] for own in scores if column in own] for column in columns}
    return {column: float(np.mean(each)) if each else np.nan for column, each in values.items()}


def _costs(records: Sequence[RunRecord]) -> dict[str, float]:
    """Means over runs: numbers that a fit keeps, and processor seconds; NaN where a run knows them not."""
    values = {
        "parameters": [record.fitted_parameters.get("encoder") for record in records],
        "fit_cpu_seconds": [record.cpu_seconds.get("fit encoder") for record in records],
        "predict_cpu_seconds": [record.cpu_seconds.get("encode") for record in records],
    }
    return {
        name: np.nan if None in each else float(np.mean([float(value) for value in each]))
        for name, each in values.items()
    }


def _from_store(record: RunRecord) -> str:
    """``fit 1/1, features 104/104``: what was shared with runs before it, by hash, of all that it used."""
    counts = {stage: tuple(own) for stage, own in record.computed.items() if len(own) == 2}
    stages = [stage for stage in ("fit", "features") if sum(counts.get(stage, ()))]
    return ", ".join(f"{stage} {counts[stage][1]}/{sum(counts[stage])}" for stage in stages)


def _below_training_mean(runs: Sequence[RunResult]) -> bool:
    ours, blind = (_means(runs, (ERROR,), row=row)[ERROR] for row in ("predicted", BLIND))
    return bool(ours >= blind)
