"""A leaderboard as frames: one line for each score of each line, and laid out wide for a paper."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.published import PublishedRow

from ..layout import bracket, number
from .badges import Badges, Costs
from .boards import Board, Entry
from .columns import Column
from .estimates import Estimated

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = "published"
"""Kind of the lines that papers print."""

UNCHECKED = "quoted, not compared with the printed table again"
"""Added to what differs of single numbers; laid out wide they have a question mark."""

TABLE_COLUMNS = ("board", "benchmark", "simulated", "kind", "encoder", "adapter", "decoder", "row", "level")
TABLE_COLUMNS += ("metric", "metric_label", "target", "higher_is_better", "chance", "main", "subject")
TABLE_COLUMNS += ("subjects", "seeds", "mean", "low", "high", "low_subjects", "high_subjects", "n", "missing")
TABLE_COLUMNS += ("doubt", "group", "verified", "contamination", "circular", "stale", "alarms")
TABLE_COLUMNS += ("decode_seconds", "encode_seconds", "memory_mb", "device_memory_mb")
TABLE_COLUMNS += ("encoder_parameters", "decoder_parameters", "device", "source", "differs", "runs")
"""``subject`` is ``""`` for the mean over ``subjects``, and where there are several a line for each follows.
``low`` and ``high`` are of images, with these subjects held fixed; ``low_subjects`` and ``high_subjects``
hold for other subjects, too, and are there from four on.  ``group`` holds letters of tie groups."""

TAU_COLUMNS = (
    "board",
    "metric",
    "metric_label",
    "target",
    "main",
    "decoder_a",
    "decoder_b",
    "encoders",
    "tau",
)
TAU_COLUMNS += ("low", "high", "order_a", "order_b")


def score_lines(
    board: Board,
    column: Column,
    estimated: Mapping[Entry, Estimated],
    facts: Mapping[Entry, tuple[Badges, Costs]],
) -> list[dict[str, Any]]:
    """Lines of :data:`TABLE_COLUMNS` of one score."""
    lines = []
    for entry in board.entries:
        if entry not in estimated:
            continue
        own, (badges, costs) = estimated[entry], facts[entry]
        seeds = {run.record.seed for run in entry.runs}
        common = {
            "board": board.title,
            "benchmark": board.benchmark,
            "simulated": board.simulated,
            "kind": entry.kind,
            "encoder": entry.encoder,
            "adapter": entry.adapter,
            "decoder": entry.decoder,
            "row": entry.row.name,
            **_described(column),
            "chance": column.metric.chance,
            "subjects": ", ".join(board.subjects),
            "seeds": len(seeds),
            "verified": badges.verified,
            "contamination": badges.contamination,
            "circular": column.metric.name in badges.circular,
            "stale": "; ".join(badges.stale),
            "alarms": ", ".join(badges.alarms),
            **asdict(costs),
            "source": "",
            "differs": "",
            "runs": ", ".join(run.folder.name for run in entry.runs),
        }
        low, high = own.over_subjects
        whole = {"low_subjects": low, "high_subjects": high, "group": own.group}
        parts = {"": own.mean} | (dict(own.by_subject) if len(board.subjects) > 1 else {})
        for subject, interval in parts.items():
            more = (
                whole if not subject else {"low_subjects": math.nan, "high_subjects": math.nan, "group": ""}
            )
            lines.append(common | {"subject": subject} | asdict(interval) | more)
    return lines


def published_lines(rows: Sequence[PublishedRow]) -> list[dict[str, Any]]:
    """The same of published numbers; each says where it is printed and in what it differs."""
    return [
        {
            "board": f"{row.dataset}, as published",
            "benchmark": row.dataset,
            "simulated": False,
            "kind": PUBLISHED,
            "encoder": row.encoder or "measured fMRI",
            "adapter": "",
            "decoder": row.decoder or "none",
            "row": row.system,
            "level": "",
            "metric": metric,
            "metric_label": metric,
            "subject": "",
            "subjects": ", ".join(row.subjects),
            "mean": value,
            "n": row.n_test,
            "decode_seconds": row.seconds,
            "source": row.source,
            "differs": "; ".join([*row.differs, *([UNCHECKED] if metric in row.unchecked else [])]),
        }
        for row in rows
        for metric, value in row.values.items()
    ]


def frame(lines: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """`lines` as a frame whose columns are of one kind each, also where some lines lack them."""
    import pandas as pd

    table = pd.DataFrame(lines, columns=list(columns))
    for name in table.columns.intersection(("n", "missing", "seeds")):
        table[name] = table[name].astype("Int64")
    for name in table.columns.intersection(("circular", "main", "higher_is_better")):
        table[name] = table[name].astype("boolean")
    return table


def wide_board(table: pd.DataFrame, *, every: bool = False) -> pd.DataFrame:
    """One line for each line of a board and a column for each score, as text "mean [low, high] group".

    table : lines of one board of :data:`TABLE_COLUMNS`.  every : all scores, not only those shown first.
    """
    import pandas as pd

    whole = table[(table["subject"] == "") & (table["main"].fillna(True) | every)]
    keys = ("kind", "encoder", "adapter", "decoder", "row")
    lines: dict[tuple[str, ...], tuple[dict[str, str], dict[str, str]]] = {}
    for line in whole.itertuples():
        key = tuple(getattr(line, name) for name in keys)
        if key not in lines:
            lines[key] = _leading(line), _trailing(line)
        lines[key][0][line.metric_label] = cell_text(line)
    return pd.DataFrame([scores | rest for scores, rest in lines.values()]).fillna("")


def wide_published(table: pd.DataFrame) -> pd.DataFrame:
    """Published numbers, a line for each system, with source and what differs; see :data:`UNCHECKED`."""
    import pandas as pd

    lines: dict[tuple[str, str], dict[str, str]] = {}
    for line in table.itertuples():
        of = {"system": line.row, "encoder": line.encoder, "decoder": line.decoder, "subjects": line.subjects}
        of |= {"s/image": amount(line.decode_seconds), "source": line.source}
        of["not comparable"] = line.differs.removesuffix(f"; {UNCHECKED}")
        own = lines.setdefault((line.row, line.source, line.subjects), of)
        own[line.metric_label] = number(line.mean) + ("?" if line.differs.endswith(UNCHECKED) else "")
    wide = pd.DataFrame(list(lines.values())).fillna("")
    last = ["s/image", "source", "not comparable"]
    return wide[[*(name for name in wide if name not in last), *last]] if len(wide) else wide


def cell_text(line: Any) -> str:
    """``0.423 [0.410, 0.436] a–c``, with the interval over subjects, too, where there is one."""
    parts = [number(line.mean), bracket(line.low, line.high)]
    if over := bracket(line.low_subjects, line.high_subjects):
        parts.append(f"subjects {over}")
    return " ".join(filter(None, (*parts, short_letters(line.group))))


def short_letters(letters: str) -> str:
    """Letters of tie groups, neighbours from three on as a range: ``abcf`` is ``a–c f``."""
    places = [ord(sign[0]) - ord("a") + 26 * int(sign[1:] or 0) for sign in re.findall(r"[a-z]\d*", letters)]
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    named = [[_letter(place) for place in run] for run in runs]
    texts = [f"{run[0]}–{run[-1]}" if len(run) > 2 else "".join(run) for run in named]
    return " ".join(texts) if any(len(run) > 2 for run in named) else "".join(texts)


def _letter(place: int) -> str:
    turn, letter = divmod(place, 26)
    return chr(ord("a") + letter) + (str(turn) if turn else "")


def _described(column: Column) -> dict[str, Any]:
    return {
        "metric": column.metric.name,
        "metric_label": column.heading,
        "higher_is_better": column.metric.higher_is_better,
        "target": column.target,
        "level": column.level,
        "main": column.main,
    }


def tau_lines(board: Board, column: Column, agreements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lines of :data:`TAU_COLUMNS` of one score."""
    orders = ("order_a", "order_b")
    return [
        {"board": board.title, **_described(column), **line}
        | {name: " > ".join(line[name]) for name in orders}
        for line in agreements
    ]


def _leading(line: Any) -> dict[str, str]:
    return {name: getattr(line, name) for name in ("kind", "encoder", "adapter", "decoder")}


def _trailing(line: Any) -> dict[str, str]:
    """Costs and badges of a line; references have none of their own, and self-metrics are told by score."""
    if line.kind != "system":
        return {}
    badges = Badges(
        line.verified,
        line.contamination,
        circular=(),
        stale=(line.stale,) if line.stale else (),
        alarms=tuple(line.alarms.split(", ")) if line.alarms else (),
    )
    return {
        "s/image": amount(line.decode_seconds),
        "MB": amount(line.memory_mb),
        "encoder parameters": amount(line.encoder_parameters),
        "decoder parameters": amount(line.decoder_parameters),
        "badges": "; ".join(badges.texts()),
    }


def amount(value: float | None) -> str:
    """A cost as people write it: 0.0042, 1,435, 3.2 M; a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 1e6:
        return f"{value / 1e9:.3g} G" if abs(value) >= 1e9 else f"{value / 1e6:.3g} M"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"
