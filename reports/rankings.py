"""Do two decoders put encoders in the same order?

A score that one decoder gives may be the decoder's liking rather than the encoder's merit: an encoder
that inverts decoder A looks perfect through A and like nothing through B.  So encoders that were run
through several decoders are ranked under each, and the rankings are compared: by Kendall's tau-b of the
means (Kendall 1945), and by pairs of encoders that both decoders tell apart but in opposite order.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from .comparison import Comparison
from .systems import System, plugin_labels

if TYPE_CHECKING:
    import pandas as pd

RANKING_COLUMNS = ("metric", "metric_label", "target", "row", "decoder_a", "decoder_b", "encoders", "tau")
RANKING_COLUMNS += ("same", "reversed", "undecided", "order_a", "order_b")


def ranking_table(compared: Comparison) -> pd.DataFrame:
    """One line per metric, row and pair of decoders that have two or more encoders in common.

    Columns :data:`RANKING_COLUMNS`.  ``same``, ``reversed`` and ``undecided`` count pairs of encoders:
    told apart under both decoders with the same better one, with the other one, and the rest.
    ``order_a`` and ``order_b`` list the encoders, the best first, for reading.  Empty where the runs
    are of one decoder.
    """
    import pandas as pd
    from scipy.stats import kendalltau

    means = compared.means.set_index(["metric", "system"])
    better = {
        (line.metric, frozenset((line.a, line.b))): line.better for line in compared.differences.itertuples()
    }
    encoders = plugin_labels(compared.systems, "encoder", ("adapter", "samples", "n_train"))
    decoders = plugin_labels(compared.systems, "decoder", ("selection",))
    cells: dict[tuple[str, str], dict[str, System]] = {}
    for system, encoder, decoder in zip(compared.systems, encoders, decoders):
        cells.setdefault((system.row, decoder), {})[encoder] = system
    lines = []
    for ((row, first), ours), ((other, second), theirs) in itertools.combinations(cells.items(), 2):
        common = [encoder for encoder in ours if encoder in theirs]
        if row != other or len(common) < 2:
            continue
        for metric in dict.fromkeys(compared.means["metric"]):
            info = means.loc[metric].iloc[0]
            sign = -1 if info.higher_is_better else 1
            values = [
                np.array([sign * means.loc[(metric, side[encoder].label), "mean"] for encoder in common])
                for side in (ours, theirs)
            ]
            verdicts = [
                _verdict(better, metric, (ours[a], ours[b]), (theirs[a], theirs[b]))
                for a, b in itertools.combinations(common, 2)
            ]
            orders = [", ".join(common[k] for k in np.argsort(column, kind="stable")) for column in values]
            lines.append(
                {
                    "metric": metric,
                    **{name: info[name] for name in ("metric_label", "target")},
                    "row": row,
                    "decoder_a": first,
                    "decoder_b": second,
                    "encoders": len(common),
                    "tau": float(kendalltau(*values).statistic),
                    **{name: verdicts.count(name) for name in ("same", "reversed", "undecided")},
                    "order_a": orders[0],
                    "order_b": orders[1],
                }
            )
    return pd.DataFrame(lines, columns=list(RANKING_COLUMNS))


def _verdict(
    better: dict[tuple[str, frozenset[str]], str],
    metric: str,
    ours: tuple[System, System],
    theirs: tuple[System, System],
) -> str:
    winners = []
    for first, second in (ours, theirs):
        label = better[metric, frozenset((first.label, second.label))]
        if not label:
            return "undecided"
        winners.append(label == first.label)
    return "same" if winners[0] == winners[1] else "reversed"
