"""What a run found, for a terminal, a log file or a pipe: first the answer, the other tables on request."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import ConfigError, suggest
from harness.results import RunResult

from .answer import Grid, answer
from .captions import FIGURES, caption_cell, caption_table
from .curves import curve_grid, curve_table
from .draws import draw_grid, draw_table
from .functional import SELECTIVE, contrast_table
from .grids import Grid as CellGrid
from .grids import paired_grids, region_grid
from .layout import (
    BY_CONSTRUCTION,
    GROUPS,
    SIMULATED,
    MetricInfo,
    RowInfo,
    bracket,
    chance_level,
    expectation,
    is_simulated,
    left_out,
    number,
    ordered_metrics,
    ordered_rows,
    title,
)
from .lesions import lesion_grids, lesion_table
from .nearness import nearness_table
from .predicted import predicted_grid, predicted_table
from .priors import prior_grid, prior_table
from .tables import REFERENCES, agreement_table, encoding_table, paired_table, roi_table, score_table
from .values import noise_floor, stored

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

_LABEL = 26
"""Widest row label; longer ones fold."""

_BETWEEN = 3
"""Characters between two columns."""

WORTH = "what nearness was worth: nearer half of the test images less the farther half [95 % interval]"
NEARNESS = "distance to the nearest training image; a row below the stimuli repeats, or blurs"

_STYLES = {"alarm": "bold red", "warning": "yellow", "info": "cyan"}
_GROUP_STYLES = {"compared": "bold", "control": "dim"}


def render(run: RunResult, console: Console, *, tables: Collection[str] = ()) -> None:
    """Print the answer of `run` to `console` (:mod:`.answer`), its flags and where the rest is.

    tables : names of :data:`TABLES` that are printed too, in their order.

    Tables are cut into as many as the width needs; nothing is shortened to fit but a flag, to the line,
    on a terminal, where the table ``flags`` has it whole.
    """
    simulated = is_simulated(run)
    if simulated:
        _line(console, f"*** {SIMULATED} ***", "bold magenta")
    _line(console, title(run), "bold")
    grids = answer(run, width=console.width)
    for grid in grids:
        console.print()
        console.print(_grid(grid))
        if grid.note:
            _line(console, grid.note, "dim")
    if not len(stored(run, "scores")):
        _line(console, "no image was scored")
    mark = f" ({SIMULATED})" if simulated else ""
    for name, table in TABLES.items():
        if name in tables and not table(run, console, mark) and len(tables) < len(TABLES):
            _line(console, f"this run holds nothing for the table '{name}'")
    if "flags" not in tables:
        notes = _notes(run)
        if notes:
            console.print()
        for text, style in notes:
            whole = len(text) <= console.width or not console.is_terminal
            _line(console, text if whole else f"{text[: console.width - 1]}…", style)
    report = run.folder / "report.html"
    if report.is_file():
        _line(console, f"report: {report}")
    if len(tables) < len(TABLES):
        _line(console, f"the rest: harness report {shlex.quote(str(run.folder))} --tables all")
        _line(console, f"  or some of it: {','.join(TABLES)}")


def chosen_tables(given: str) -> tuple[str, ...]:
    """Names of :data:`TABLES` in ``all`` or in a list with commas."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in (*TABLES, "all"):
            raise ConfigError(f"--tables {given}: " + suggest(name, (*TABLES, "all"), what="table"))
    return tuple(TABLES) if "all" in names else tuple(name for name in TABLES if name in names)


def _grid(grid: Grid) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for head in grid.heads:
        table.add_column(Text(head), overflow="fold", max_width=_LABEL)
    for line in grid.lines:
        table.add_row(*(Text(text) for text in line))
    return table


def _stimulus_scores(run: RunResult, console: Console, mark: str) -> bool:
    heading = f"scores against the stimuli: mean [95 % interval over images]{mark}"
    return _scores(run, console, score_table(run), heading)


def _nearness(run: RunResult, console: Console, mark: str) -> bool:
    shown = _scores(run, console, score_table(run, "training"), f"{NEARNESS}{mark}", directed=False)
    table = nearness_table(run)
    heads = {line.metric: line.metric_label for line in table.itertuples()}
    cells = {
        (line.row, line.metric): _joined(line.worth, line.low, line.high, 0) for line in table.itertuples()
    }
    return _tables(run, console, f"{WORTH}{mark}", list(heads.items()), cells) or shown


def _scores(
    run: RunResult, console: Console, table: pd.DataFrame, heading: str, *, directed: bool = True
) -> bool:
    metrics = ordered_metrics(run, table["metric"])
    heads = [f"{m.label}\n{_direction(m)}" if directed else m.label for m in metrics]
    cells = {
        (line.row, line.metric): f"{_joined(line.mean, line.low, line.high, line.missing)} "
        f"{expectation(line.expected)}".rstrip()
        for line in table.itertuples()
    }
    shown = _tables(run, console, heading, list(zip((m.name for m in metrics), heads)), cells)
    if shown and table["expected"].notna().any():
        _line(console, BY_CONSTRUCTION)
    return shown


def _captions(run: RunResult, console: Console, mark: str) -> bool:
    table = caption_table(run)
    heading = f"captions: mean [95 % interval over images]; relative = {FIGURES['relative'][1]}{mark}"
    columns, cells = {}, {}
    for line in table.to_dict("records"):
        for name, (figure, _) in FIGURES.items():
            if not table[name].notna().any():
                continue
            columns[f"{line['metric']}/{name}"] = f"{line['metric_label']}\n{figure}"
            cells[line["row"], f"{line['metric']}/{name}"] = caption_cell(line, name)
    if not _tables(run, console, heading, list(columns.items()), cells):
        return False
    _line(console, "reference: the caption that came with the stimulus; image: what the captioner says of it")
    return True


def _encoding(run: RunResult, console: Console, mark: str) -> bool:
    table = encoding_table(run)
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
    floor = noise_floor(run)
    shown = _tables(run, console, heading, list(columns.items()), cells)
    if shown and floor:
        _line(console, floor)
    return shown


def _contrasts(run: RunResult, console: Console, mark: str) -> bool:
    table = contrast_table(run)
    heading = f"category contrasts in areas that prefer one (measured d of {SELECTIVE:g} or more){mark}"
    columns, cells = {}, {}
    for line in table.itertuples():
        column = f"{line.region}\n{line.category}, measured d {number(line.measured_d, digits=2)}"
        columns[line.region] = column
        cells[line.row, line.region] = (
            f"d {number(line.d, digits=2)}, map r {number(line.map_r, digits=2)}, "
            f"profile r {number(line.profile_r, digits=2)}"
        )
    return _tables(run, console, heading, list(columns.items()), cells)


def _agreement(run: RunResult, console: Console, mark: str) -> bool:
    table = agreement_table(run)
    heading = f"decoded agreement with the measured reconstructions{mark}"
    columns, cells = {}, {}
    for line in table.itertuples():
        columns[line.metric] = f"{line.metric_label}\nhigher is better"
        columns[f"{line.metric}/"] = "of a re-\nmeasurement"
        cells[line.row, line.metric] = _joined(line.mean, line.low, line.high, line.missing)
        interval = bracket(line.normalised_low, line.normalised_high, digits=2)
        cells[line.row, f"{line.metric}/"] = f"{number(line.normalised, digits=2)} {interval}".strip()
    shown = _tables(run, console, heading, list(columns.items()), cells)
    for name in dict.fromkeys(table["reference"]):
        if name:
            _line(console, f"re-measurement: {ordered_rows(run, [name])[0].label}, {REFERENCES[name]}")
    return shown


def _grids(make: Callable[[RunResult], Iterable[CellGrid | None]]) -> Callable[..., bool]:
    """What prints the tables that a report shows too."""

    def table(run: RunResult, console: Console, mark: str) -> bool:
        grids = [grid for grid in make(run) if grid is not None]
        for grid in grids:
            _print_grid(console, grid, mark)
        return bool(grids)

    return table


def _print_grid(console: Console, grid: CellGrid, mark: str) -> None:
    from rich.text import Text

    console.print()
    console.print(Text(f"{grid.caption}{mark}", style="bold"))
    columns = [(str(k), f"{head.text}\n{head.detail}".rstrip()) for k, head in enumerate(grid.heads)]
    lines = [(body.heading, label, cells) for body in grid.bodies for label, _, cells in body.lines]
    cells = {
        (str(k), str(place)): " ".join(filter(None, (cell.text, cell.detail, cell.note)))
        for k, (_, _, own) in enumerate(lines)
        for place, cell in enumerate(own)
        if cell is not None
    }
    room = console.width - min(_LABEL, 1 + max(len(label) for _, label, _ in lines))
    for position, cut in enumerate(_cuts(columns, cells, room)):
        if position:
            console.print()
        table = _empty_table(grid.corner, cut)
        heading = ""
        for k, (above, label, _) in enumerate(lines):
            if above != heading:
                heading = above
                table.add_section()
                table.add_row(Text(heading, style="dim"))
            texts = [label, *(cells.get((str(k), name), "") for name, _ in cut)]
            table.add_row(*map(Text, texts))
        console.print(table)


def _flags(run: RunResult, console: Console, mark: str) -> bool:
    notes = _notes(run)
    if notes:
        console.print()
    for text, style in notes:
        _line(console, text, style)
    return bool(notes)


def _notes(run: RunResult) -> list[tuple[str, str]]:
    """(text, style) of what a reader must know before believing a number."""
    notes = []
    if share := run.record.blended:
        notes.append((f"scored with a share of {share:g} of the decoder's low-level images blended in", ""))
    if protocol := run.record.protocol:
        notes += [(f"protocol {protocol.name}: {difference}", "cyan") for difference in protocol.differs]
    for flag in run.record.flags:
        text = f"{flag.level}: {flag.name}: {flag.message}"
        notes.append((text, _STYLES.get(flag.level, "yellow")))
    for failure in run.record.failed_metrics:
        text = f"failed: {failure.metric} could not be scored: {failure.error}"
        notes.append((f"{text}. {failure.how_to_rerun}".rstrip(), "bold red"))
    return notes


def _tables(
    run: RunResult,
    console: Console,
    heading: str,
    columns: Sequence[tuple[str, str]],
    cells: dict[tuple[str, str], str],
) -> bool:
    """One table, or several below each other where the columns do not fit beside each other.

    False, and nothing printed, where there are no columns.
    """
    if not columns:
        return False
    console.print()
    _line(console, heading, "bold")
    rows = ordered_rows(run, (row for row, _ in cells))
    room = console.width - min(_LABEL, 1 + max(len(row.label) for row in rows))
    for position, cut in enumerate(_cuts(columns, cells, room)):
        if position:
            console.print()
        console.print(_table(rows, cut, cells))
    if any(row.group == "control" for row in rows):
        controls = GROUPS["control"]
        _line(console, f"* {controls[0].lower()}{controls[1:]}", "dim")
    return True


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
    from rich.text import Text

    table = _empty_table("row", columns)
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


def _empty_table(corner: str, columns: Sequence[tuple[str, str]]) -> Table:
    """Columns of `columns` (name, heading) after one for labels."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column(Text(corner), max_width=_LABEL, overflow="fold")
    for _, head in columns:
        table.add_column(Text(head), overflow="fold")
    return table


def _joined(mean: float, low: float, high: float, missing: int) -> str:
    return " ".join(filter(None, (number(mean), bracket(low, high), left_out(missing))))


def _direction(metric: MetricInfo) -> str:
    return metric.direction + ("" if metric.chance is None else f"\nchance {chance_level(metric.chance)}")


def _line(console: Console, text: str, style: str = "") -> None:
    """Print `text` as it is: no markup, no highlighting, no cutting at the terminal's edge."""
    from rich.text import Text

    console.print(Text(text, style=style), soft_wrap=True, highlight=False)


TABLES: Mapping[str, Callable[[RunResult, Console, str], bool]] = {
    "scores": _stimulus_scores,
    "captions": _captions,
    "nearness": _nearness,
    "predicted": _grids(lambda run: [predicted_grid(run, predicted_table(run))]),
    "paired": _grids(lambda run: paired_grids(run, paired_table(run))),
    "decoder": _grids(lambda run: [prior_grid(run, prior_table(run))]),
    "draws": _grids(lambda run: [draw_grid(run, draw_table(run))]),
    "bottleneck": _grids(lambda run: [curve_grid(run, curve_table(run))]),
    "lesions": _grids(lambda run: lesion_grids(run, lesion_table(run))),
    "encoding": _encoding,
    "regions": _grids(lambda run: [region_grid(run, roi_table(run))]),
    "contrasts": _contrasts,
    "agreement": _agreement,
    "flags": _flags,
}
"""Table -> what prints it, True if the run holds it; all that is not in the answer itself."""
