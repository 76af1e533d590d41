"""The final table of a run for a terminal, a log file or a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.results import RunResult

from .captions import FIGURES, caption_cell, caption_table
from .functional import SELECTIVE, contrast_table
from .layout import (
    GROUPS,
    SIMULATED,
    MetricInfo,
    RowInfo,
    bracket,
    is_simulated,
    left_out,
    number,
    ordered_metrics,
    ordered_rows,
    title,
)
from .tables import REFERENCES, agreement_table, encoding_table, score_table
from .values import noise_floor

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

_LABEL = 26
"""Widest row label; longer ones fold."""

_BETWEEN = 3
"""Characters between two columns."""

NEARNESS = "distance to the nearest training image; a row below the stimuli repeats, or blurs"

_STYLES = {"alarm": "bold red", "warning": "yellow", "info": "cyan"}
_GROUP_STYLES = {"compared": "bold", "control": "dim"}


def render(run: RunResult, console: Console) -> None:
    """Print scores, encoding scores, agreement and flags of `run` to `console`, and where the report is.

    Tables are cut into as many as the width needs; nothing is shortened to fit.
    """
    simulated = is_simulated(run)
    if simulated:
        _line(console, f"*** {SIMULATED} ***", "bold magenta")
    _line(console, title(run), "bold")
    mark = f" ({SIMULATED})" if simulated else ""
    scores = score_table(run)
    if len(scores):
        heading = f"scores against the stimuli: mean [95 % interval over images]{mark}"
        _scores(run, console, scores, heading)
    else:
        _line(console, "no image was scored")
    captions = caption_table(run)
    if len(captions):
        _captions(run, console, captions, mark)
    nearness = score_table(run, "training")
    if len(nearness):
        _scores(run, console, nearness, f"{NEARNESS}{mark}", directed=False)
    encoding = encoding_table(run)
    if len(encoding):
        _encoding(run, console, encoding, mark)
    contrasts = contrast_table(run)
    if len(contrasts):
        _contrasts(run, console, contrasts, mark)
    agreement = agreement_table(run)
    if len(agreement):
        _agreement(run, console, agreement, mark)
    _notes(run, console)
    report = run.folder / "report.html"
    if report.is_file():
        _line(console, f"report: {report}")


def _scores(
    run: RunResult, console: Console, table: pd.DataFrame, heading: str, *, directed: bool = True
) -> None:
    metrics = ordered_metrics(run, table["metric"])
    heads = [f"{m.label}\n{_direction(m)}" if directed else m.label for m in metrics]
    cells = {
        (line.row, line.metric): _joined(line.mean, line.low, line.high, line.missing)
        for line in table.itertuples()
    }
    _tables(run, console, heading, list(zip((m.name for m in metrics), heads)), cells)


def _captions(run: RunResult, console: Console, table: pd.DataFrame, mark: str) -> None:
    heading = f"captions: mean [95 % interval over images]; relative = {FIGURES['relative'][1]}{mark}"
    columns, cells = {}, {}
    for line in table.to_dict("records"):
        for name, (figure, _) in FIGURES.items():
            columns[f"{line['metric']}/{name}"] = f"{line['metric_label']}\n{figure}"
            cells[line["row"], f"{line['metric']}/{name}"] = caption_cell(line, name)
    _tables(run, console, heading, list(columns.items()), cells)
    _line(console, "reference: the caption that came with the stimulus; image: what the captioner says of it")


def _encoding(run: RunResult, console: Console, table: pd.DataFrame, mark: str) -> None:
    heading = f"encoding scores: [95 % interval over images] (quartiles over voxels){mark}"
    columns, cells = {}, {}
    for line in table.itertuples():
        arrow = "higher" if line.higher_is_better else "lower"
        columns[line.metric] = f"{line.metric_label}\n{arrow} is better"
        text = _joined(line.mean, line.low, line.high, line.missing)
        if line.over == "voxels" and not bracket(line.low, line.high) and np.isfinite(line.median):
            text = f"{number(line.mean)} ({number(line.q25)}, {number(line.q75)})"
            text += f" {left_out(line.missing)}" if line.missing else ""
        cells[line.row, line.metric] = text
    _tables(run, console, heading, list(columns.items()), cells)
    floor = noise_floor(run)
    if floor:
        _line(console, floor)


def _contrasts(run: RunResult, console: Console, table: pd.DataFrame, mark: str) -> None:
    heading = f"category contrasts in areas that prefer one (measured d of {SELECTIVE:g} or more){mark}"
    columns, cells = {}, {}
    for line in table.itertuples():
        column = f"{line.region}\n{line.category}, measured d {number(line.measured_d, digits=2)}"
        columns[line.region] = column
        cells[line.row, line.region] = (
            f"d {number(line.d, digits=2)}, map r {number(line.map_r, digits=2)}, "
            f"profile r {number(line.profile_r, digits=2)}"
        )
    _tables(run, console, heading, list(columns.items()), cells)


def _agreement(run: RunResult, console: Console, table: pd.DataFrame, mark: str) -> None:
    heading = f"decoded agreement with the measured reconstructions{mark}"
    columns, cells = {}, {}
    for line in table.itertuples():
        columns[line.metric] = f"{line.metric_label}\nhigher is better"
        columns[f"{line.metric}/"] = "of a re-\nmeasurement"
        cells[line.row, line.metric] = _joined(line.mean, line.low, line.high, line.missing)
        interval = bracket(line.normalised_low, line.normalised_high, digits=2)
        cells[line.row, f"{line.metric}/"] = f"{number(line.normalised, digits=2)} {interval}".strip()
    _tables(run, console, heading, list(columns.items()), cells)
    for name in dict.fromkeys(table["reference"]):
        if name:
            _line(console, f"re-measurement: {ordered_rows(run, [name])[0].label}, {REFERENCES[name]}")


def _notes(run: RunResult, console: Console) -> None:
    if share := run.info.get("blended"):
        _line(console, f"scored with a share of {share:g} of the decoder's low-level images blended in")
    protocol = run.info.get("protocol") or {}
    for difference in protocol.get("differs") or ():
        _line(console, f"protocol {protocol.get('name', '')}: {difference}", "cyan")
    for flag in run.info.get("flags") or ():
        level = str(flag.get("level", "warning"))
        text = f"{level}: {flag.get('name', '')}: {flag.get('message', '')}"
        _line(console, text, _STYLES.get(level, "yellow"))
    for failure in run.info.get("failed_metrics") or ():
        text = f"failed: {failure.get('metric', '')} could not be scored: {failure.get('error', '')}"
        _line(console, f"{text}. {failure.get('how_to_rerun', '')}".rstrip(), "bold red")


def _tables(
    run: RunResult,
    console: Console,
    heading: str,
    columns: Sequence[tuple[str, str]],
    cells: dict[tuple[str, str], str],
) -> None:
    """One table, or several below each other where the columns do not fit beside each other."""
    console.print()
    _line(console, heading, "bold")
    rows = ordered_rows(run, (row for row, _ in cells))
    room = console.width - min(_LABEL, 1 + max(len(row.label) for row in rows))
    for position, cut in enumerate(_cuts(columns, cells, room)):
        if position:
            console.print()
        console.print(_table(rows, cut, cells))
    if any(row.group == "control" for row in rows):
        controls = GROUPS["control"][0]
        _line(console, f"* {controls[0].lower()}{controls[1:]}", "dim")


def _cuts(
    columns: Sequence[tuple[str, str]], cells: dict[tuple[str, str], str], room: int
) -> list[Sequence[tuple[str, str]]]:
    """`columns` in the fewest equal runs that each fit into `room` characters."""
    widths = {}
    for name, head in columns:
        texts = [text for (_, column), text in cells.items() if column == name]
        widths[name] = _BETWEEN + max(map(len, (*head.split("\n"), *texts)))
    for count in range(1, len(columns) + 1):
        size = -(-len(columns) // count)
        cuts = [columns[start : start + size] for start in range(0, len(columns), size)]
        if all(sum(widths[name] for name, _ in cut) <= room for cut in cuts):
            break
    return cuts


def _table(
    rows: Iterable[RowInfo], columns: Sequence[tuple[str, str]], cells: dict[tuple[str, str], str]
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("row", max_width=_LABEL, overflow="fold")
    for _, head in columns:
        table.add_column(Text(head), overflow="fold")
    group = None
    for row in rows:
        texts = [cells.get((row.name, name)) for name, _ in columns]
        if not any(texts):
            continue
        if group not in (None, row.group):
            table.add_section()
        group = row.group
        label = f"{row.label}*" if row.group == "control" else row.label
        style = _GROUP_STYLES.get(row.group, "")
        table.add_row(*(Text(text or "", style=style) for text in (label, *texts)))
    return table


def _joined(mean: float, low: float, high: float, missing: int) -> str:
    return " ".join(filter(None, (number(mean), bracket(low, high), left_out(missing))))


def _direction(metric: MetricInfo) -> str:
    return metric.direction + ("" if metric.chance is None else f"\nchance {metric.chance:g}")


def _line(console: Console, text: str, style: str = "") -> None:
    """Print `text` as it is: no markup, no highlighting, no cutting at the terminal's edge."""
    from rich.text import Text

    console.print(Text(text, style=style), soft_wrap=True, highlight=False)
