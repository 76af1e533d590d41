"""Decoders of a suite, each held against its own controls, noise-free responses and its generator's ceiling.

A decoder's score says little alone: a generator that paints likely scenes scores without any brain.  So each
score stands beside that of the same pictures re-paired with other images, of the mean training response and
of the training image whose response is nearest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.published import base_name
from harness.results import RunResult

from .beside import read_row
from .suites import SuiteRun
from .tables import paired_table, score_table

if TYPE_CHECKING:
    import pandas as pd

OWN_CONTROLS = {
    "predicted": {"shuffled": "shuffled", "nearest_train": "nearest-train"},
    "measured": {"shuffled": "shuffled-measured", "nearest_train": "nearest-train-measured"},
}
"""Row that is read -> column of the table -> the control that it has of that row."""

SHARED_ROWS = {"train_mean": "train-mean", "truth": "oracle", "ceiling": "generator-ceiling"}
SHARED_ROWS |= {"codes": "code-ceiling"}
"""Column of the table -> row, whichever row is read."""

COLUMNS = ("system", "runs", "metric", "metric_label", "higher_is_better", "mean", "low", "high")
COLUMNS += ("gain", "gain_low", "gain_high", "shuffled", "nearest_train", *SHARED_ROWS)


def against_controls_table(runs: Sequence[SuiteRun], columns: Sequence[str]) -> pd.DataFrame:
    """A line for each system and metric of `columns`, means over its subjects and seeds, :data:`COLUMNS`.

    low, high : 95 % interval over images where there is one run alone, else NaN.  gain, gain_low, gain_high :
    the same of the paired difference from the re-paired pictures.  train_mean, truth, ceiling, codes : scores
    of the decoder on the mean training response, on noise-free responses, of its generator given what the
    true image embeds to, and of the true image's codes; NaN where a run has no such row.
    """
    import pandas as pd

    several = len({suite_run.encoder for suite_run in runs}) > 1
    of_system: dict[str, list[RunResult]] = {}
    for suite_run in runs:
        name = f"{suite_run.encoder} × {suite_run.decoder}" if several else suite_run.decoder
        of_system.setdefault(name, []).append(suite_run.run)
    lines: list[dict[str, Any]] = []
    for system, own in of_system.items():
        tables = [_scores(run, columns) for run in own]
        for column in columns:
            values = [table[column] for table in tables if column in table]
            if not values:
                continue
            numbers = {
                name: float(np.mean([each[name] for each in values]))
                for name in COLUMNS[5:]
                if len(values) == 1 or not name.endswith(("low", "high"))
            }
            described = {name: values[0][name] for name in ("metric_label", "higher_is_better")}
            lines.append({"system": system, "runs": len(values), "metric": column, **described, **numbers})
    return pd.DataFrame(lines, columns=list(COLUMNS))


def not_above(table: pd.DataFrame) -> list[str]:
    """What of :func:`against_controls_table` no brain is needed for, a sentence each."""
    sentences = []
    for line in table.itertuples():
        sign = 1 if line.higher_is_better else -1
        where = f"{line.system}: {line.metric_label}"
        worst = line.gain_low if line.higher_is_better else -line.gain_high
        if (np.isfinite(worst) and worst <= 0) or sign * line.gain <= 0:
            sentences.append(f"{where} is not told apart from that of its pictures re-paired")
        if sign * (line.mean - line.train_mean) <= 0:
            sentences.append(f"{where} is not above that of the mean training response")
    return sentences


def _scores(run: RunResult, columns: Collection[str]) -> dict[str, dict[str, Any]]:
    """Metric -> what the table says of it, for one run."""
    main = read_row(run)
    beside = {**OWN_CONTROLS[main], **SHARED_ROWS}
    scores = score_table(run)
    pairs = paired_table(run)
    pairs = pairs[(pairs["row"] == main) & (pairs["control"] == beside["shuffled"])].set_index("metric")
    lines = {}
    for metric, part in scores.groupby("metric", sort=False, observed=True):
        of = part.set_index("row")
        if base_name(metric) not in columns or main not in of.index:
            continue
        pair = pairs.loc[metric] if metric in pairs.index else {}
        described = ("metric_label", "higher_is_better", "mean", "low", "high")
        lines[base_name(metric)] = {
            **{name: of.loc[main, name] for name in described},
            **{name: of["mean"].get(row, np.nan) for name, row in beside.items()},
            "gain": pair.get("difference", np.nan),
            "gain_low": pair.get("low", np.nan),
            "gain_high": pair.get("high", np.nan),
        }
    return lines
