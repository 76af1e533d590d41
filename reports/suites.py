"""Tables of experiment suites: encoders in the order of every score under every decoder, and which is right.

Both read finished runs alone.  An encoder is the row ``predicted`` of its run; the rows ``oracle``,
``measured`` and those of cheating encoders stand beside it, from one run of each decoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import DataError
from harness.results import RunResult
from harness.statistics.orders import Tau, order_agreement

from .layout import MetricInfo, ordered_metrics
from .values import image_values, run_metrics, stored

if TYPE_CHECKING:
    import pandas as pd

TRUTH = "truth-r"
"""The score by which encoders of known quality are ranked; simulated data alone have it."""

CHEAT = "cheat-inverse-plain"
BESIDE = ("oracle", "measured")
CHEATS = (CHEAT, "cheat-pixels")

ORDER_COLUMNS = ("metric", "metric_label", "target", "decoder", "order", "means")
TAU_COLUMNS = ("metric", "metric_label", "target", "decoder_a", "decoder_b", "encoders", "tau", "low", "high")
SCORE_COLUMNS = ("decoder", "metric", "metric_label", "target", "encoders", "tau", "low", "high", "first")
SCORE_COLUMNS += ("cheat_place", "recovers")


@dataclass(frozen=True)
class SuiteRun:
    """A finished cell: names in the suite, and its run."""

    encoder: str
    decoder: str
    seed: int
    run: RunResult


@dataclass(frozen=True)
class _Score:
    """One score of the encoders under one decoder.

    values : encoder -> (N,) over images, NaN where not scored, or one number.
    """

    info: MetricInfo
    target: str
    values: Mapping[str, np.ndarray]

    def signed(self, encoders: Sequence[str]) -> np.ndarray:
        """(N, E), or (E,) of a score of whole sets; higher is better."""
        sign = 1 if self.info.higher_is_better else -1
        return sign * np.stack([self.values[name] for name in encoders], axis=-1)

    def means(self, encoders: Sequence[str]) -> np.ndarray:
        """(E,) means over the images that all have, as scored."""
        table = np.stack([np.atleast_1d(self.values[name]) for name in encoders], axis=-1)
        return table[np.isfinite(table).all(axis=1)].mean(axis=0)


def matrix_tables(runs: Sequence[SuiteRun]) -> dict[str, pd.DataFrame]:
    """``orders``, encoders the best first for each score and decoder (:data:`ORDER_COLUMNS`), and ``taus``,
    how alike two decoders order them (:data:`TAU_COLUMNS`)."""
    import pandas as pd

    scores = {name: _image_scores(own, rows=BESIDE) for name, own in _by_decoder(runs).items()}
    orders, taus = [], []
    for key in dict.fromkeys(key for own in scores.values() for key in own):
        under = {name: own[key] for name, own in scores.items() if key in own}
        for name, score in under.items():
            encoders = list(score.values)
            means = score.means(encoders)
            order = _best_first(means, score.info)
            line = {**_named(score), "decoder": name, "order": tuple(encoders[k] for k in order)}
            orders.append(line | {"means": tuple(float(means[k]) for k in order)})
        for (first, ours), (second, theirs) in itertools.combinations(under.items(), 2):
            common = [name for name in ours.values if name in theirs.values]
            if len(common) < 2:
                continue
            tau = order_agreement(ours.signed(common), theirs.signed(common))
            line = {**_named(ours), "decoder_a": first, "decoder_b": second, "encoders": len(common)}
            taus.append(line | {"tau": tau.value, "low": tau.low, "high": tau.high})
    return {
        "orders": pd.DataFrame(orders, columns=list(ORDER_COLUMNS)),
        "taus": pd.DataFrame(taus, columns=list(TAU_COLUMNS)),
    }


def which_score_table(runs: Sequence[SuiteRun]) -> pd.DataFrame:
    """One line for each decoder and score: does it put the encoders in their true order?

    ``tau`` and its interval compare the score's order with that of :data:`TRUTH`; ``first`` is
    the encoder that the score likes best, ``cheat_place`` the place of the decoder's inverse, 1 the best.
    ``recovers`` where the
    interval is above 0.5, three pairs of four in order.  Columns :data:`SCORE_COLUMNS`, the best score first.

    Raises
    ------
    DataError
        The truth was not scored.
    """
    import pandas as pd

    lines = []
    for decoder, own in _by_decoder(runs).items():
        scores = {**_image_scores(own, rows=CHEATS), **_response_scores(own, rows=CHEATS)}
        truth = scores.pop((TRUTH, "responses"), None)
        if truth is None:
            raise DataError(f"the runs have no score '{TRUTH}'; add it to the suite's metrics")
        for score in scores.values():
            encoders = [name for name in truth.values if name in score.values]
            if len(encoders) < 3:
                continue
            true, means = truth.means(encoders), score.means(encoders)
            tau = order_agreement(score.signed(encoders), true)
            order = [encoders[k] for k in _best_first(means, score.info)]
            lines.append(
                {
                    "decoder": decoder,
                    **_named(score),
                    "encoders": len(encoders),
                    "tau": tau.value,
                    "low": tau.low,
                    "high": tau.high,
                    "first": order[0],
                    "cheat_place": order.index(CHEAT) + 1 if CHEAT in order else 0,
                    "recovers": _recovers(tau),
                }
            )
    table = pd.DataFrame(lines, columns=list(SCORE_COLUMNS))
    return table.sort_values(["decoder", "tau"], ascending=[True, False], kind="stable", ignore_index=True)


def true_order(runs: Sequence[SuiteRun]) -> list[tuple[str, float]]:
    """(encoder, its correlation with the truth), the best first."""
    own = next(iter(_by_decoder(runs).values()))
    truth = _response_scores(own, rows=CHEATS)[TRUTH, "responses"]
    encoders = list(truth.values)
    means = truth.means(encoders)
    return [(encoders[k], float(means[k])) for k in _best_first(means, truth.info)]


def _recovers(tau: Tau) -> str:
    if not np.isfinite(tau.low):
        return "no interval"
    return "yes" if tau.low > 0.5 else "no" if tau.high < 0.5 else "undecided"


def _by_decoder(runs: Sequence[SuiteRun]) -> dict[str, list[SuiteRun]]:
    grouped: dict[str, list[SuiteRun]] = {}
    for suite_run in runs:
        grouped.setdefault(suite_run.decoder, []).append(suite_run)
    return grouped


def _image_scores(runs: Sequence[SuiteRun], *, rows: Sequence[str]) -> dict[tuple[str, str], _Score]:
    """(metric, target) -> score of images of each encoder and of `rows`, means over seeds."""
    scores: dict[tuple[str, str], _Score] = {}
    for target in ("stimulus", "measured"):
        of_metrics = _of_target(runs, target, rows)
        for info in _metrics([suite_run.run for suite_run in runs], target):
            scores[info.base, target] = _Score(info, target, _joined(of_metrics.get(info.name, {})))
    return {key: score for key, score in scores.items() if len(score.values) > 1}


def _response_scores(runs: Sequence[SuiteRun], *, rows: Sequence[str]) -> dict[tuple[str, str], _Score]:
    """(metric, ``responses``) -> scores before any decoder: contributions of images where there are any."""
    scores: dict[tuple[str, str], _Score] = {}
    images = {**_of_target(runs, "responses", rows), **_contributions(runs, rows)}
    for info in ordered_metrics(runs[0].run, _response_names(runs[0].run)):
        values: dict[str, list[Any]] = dict(images.get(info.name, {}))
        if not values:
            for suite_run, (row, label) in itertools.product(runs, _shown(rows)):
                number = _mean_of(suite_run.run, info.name, row)
                if number is not None:
                    values.setdefault(label or suite_run.encoder, []).append(number)
        scores[info.base, "responses"] = _Score(info, "responses", _joined(values))
    return {key: score for key, score in scores.items() if len(score.values) > 1}


def _of_target(
    runs: Sequence[SuiteRun], target: str, rows: Sequence[str]
) -> dict[str, dict[str, list[pd.Series]]]:
    """Metric -> encoder -> what each image gives it against `target`."""
    series_of: dict[str, dict[str, list[pd.Series]]] = {}
    for suite_run in runs:
        table, rivalry = (
            image_values(suite_run.run, target, column=column) for column in ("value", "rivalry")
        )
        for (shown, label), (row, metric) in itertools.product(_shown(rows), table.columns):
            if row == shown:
                series = table[row, metric] + rivalry[row, metric].fillna(0)
                series_of.setdefault(metric, {}).setdefault(label or suite_run.encoder, []).append(series)
    return series_of


def _contributions(runs: Sequence[SuiteRun], rows: Sequence[str]) -> dict[str, dict[str, list[pd.Series]]]:
    """Metric -> encoder -> what each image contributes to the mean over all voxels."""
    import pandas as pd

    series_of: dict[str, dict[str, list[pd.Series]]] = {}
    for suite_run in runs:
        table = stored(suite_run.run, "region_contributions")
        whole = table[table["kind"] == "all"]
        for line, (row, label) in itertools.product(whole.itertuples(), _shown(rows)):
            if line.row == row:
                series = pd.Series(list(line.contributions), index=list(line.image_ids))
                series_of.setdefault(line.metric, {}).setdefault(label or suite_run.encoder, []).append(
                    series
                )
    return series_of


def _response_names(run: RunResult) -> list[str]:
    names = [*stored(run, "voxel_scores")["metric"], *stored(run, "set_scores")["metric"]]
    names += stored(run, "scores").query("target == 'responses'")["metric"].tolist()
    recorded = {metric.name for metric in run.record.metrics}
    return [name for name in dict.fromkeys(names) if name in recorded]


def _mean_of(run: RunResult, metric: str, row: str) -> float | None:
    """Mean over voxels, or the set's one value."""
    for name in ("voxel_scores", "set_scores"):
        table = stored(run, name)
        part = table[(table["metric"] == metric) & (table["row"] == row)]["value"].to_numpy(float)
        if np.isfinite(part).any():
            return float(np.nanmean(part))
    return None


def _metrics(runs: Sequence[RunResult], target: str) -> list[MetricInfo]:
    """Metrics that all `runs` scored against `target`, captions left out."""
    names = [{metric.name for metric in run_metrics(run, target)} for run in runs]
    shared = set.intersection(*names)
    return [m for m in run_metrics(runs[0], target) if m.name in shared and not m.compares_accounts]


def _shown(rows: Sequence[str]) -> list[tuple[str, str]]:
    """(row, its name among the encoders); the row of an encoder goes by the encoder's name."""
    return [("predicted", ""), *((row, row) for row in rows)]


def _joined(values: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """Means over seeds; an encoder's rows that several runs have are the first run's."""
    import pandas as pd

    joined: dict[str, np.ndarray] = {}
    series = {name: several for name, several in values.items() if isinstance(several[0], pd.Series)}
    ids = sorted({image_id for several in series.values() for image_id in several[0].index})
    for name, several in values.items():
        if name in series:
            joined[name] = np.mean([of_seed.reindex(ids).to_numpy(float) for of_seed in several], axis=0)
        else:
            joined[name] = np.float64(np.mean(several))
    return joined


def _best_first(means: np.ndarray, info: MetricInfo) -> list[int]:
    return np.argsort(-means if info.higher_is_better else means, kind="stable").tolist()


def _named(score: _Score) -> dict[str, str]:
    return {"metric": score.info.name, "metric_label": score.info.label, "target": score.target}
