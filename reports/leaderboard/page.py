"""``leaderboard.html``: one file that opens from disk; its tables sort and filter by mouse and keyboard."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness.results import RunResult

from ..glossary import meanings
from ..grids import Body, Cell, Grid, Head, Scale, metric_head, words_cell
from ..layout import SIMULATED, bracket, left_out, number
from ..page import render_page
from .badges import Badges
from .boards import ENTRY, Entry
from .columns import LEVELS, Column
from .tables import PUBLISHED, UNCHECKED, amount, short_letters

if TYPE_CHECKING:
    import pandas as pd

    from . import Leaderboard, Scored

HEADINGS = {
    ENTRY: "Systems",
    "compared": "What the same decoder makes of measured fMRI",
    "reference": "References",
    "control": "Controls: what a score is worth without the information",
}
"""Kind of line -> heading."""

TITLE = "Leaderboard"


def render_leaderboard(leaderboard: Leaderboard, folder: Path | None = None) -> str:
    """The page as text.

    folder : that it will lie in, from which runs' own reports are linked to; without it none are.
    """
    simulated = [scored.board.simulated for scored in leaderboard.boards]
    boards = [_board(scored, k, folder) for k, scored in enumerate(leaderboard.boards)]
    if not all(simulated):
        boards = [_marked(board) if board["simulated"] else board for board in boards]
    return render_page(
        "leaderboard.html",
        title=TITLE,
        simulated=SIMULATED if all(simulated) else "",
        boards=boards,
        published=_published(leaderboard.table),
        published_open=not all(simulated),
    )


def _marked(board: dict[str, Any]) -> dict[str, Any]:
    """A board of simulated data on a page that has others, too: every caption says what it is."""
    grids = {name: part for name, part in board.items() if isinstance(part, Grid)}
    return board | {
        name: replace(part, caption=f"{part.caption} ({SIMULATED})") for name, part in grids.items()
    }


def _board(scored: Scored, place: int, folder: Path | None) -> dict[str, Any]:
    """What the template needs of one board."""
    board = scored.board
    main = [k for k, column in enumerate(scored.columns) if column.main]
    rest = [k for k in range(len(scored.columns)) if k not in main]
    several = len(board.subjects) > 1
    return {
        "id": f"board-{place}",
        "title": board.title,
        "simulated": SIMULATED if board.simulated else "",
        "summary": _summary(scored),
        "notes": scored.notes,
        "main": _score_grid(scored, main, f"{place}-scores", "Scores", ends=True),
        "rest": _score_grid(scored, rest, f"{place}-more", "All other scores"),
        "subjects": _subject_grid(scored, main, f"{place}-subjects") if several else None,
        "facts": _facts_grid(scored, f"{place}-facts"),
        "taus": _tau_grid(scored, f"{place}-decoders"),
        "meanings": meanings([scored.columns[k].metric for k in (*main, *rest)]),
        "runs": [
            (entry.label, [(run.folder.name, _report(run, folder)) for run in entry.runs])
            for entry in board.systems
        ],
    }


def _report(run: RunResult, folder: Path | None) -> str:
    """Where the report of `run` lies as seen from `folder`, as an address; ``""`` where there is none."""
    path = run.folder.resolve() / "report.html"
    if folder is None or not path.is_file():
        return ""
    return quote(os.path.relpath(path, folder.resolve()).replace(os.sep, "/"))


def _summary(scored: Scored) -> list[tuple[str, str]]:
    board = scored.board
    images = {int(own.mean.n) for own in itertools.chain(*(of.values() for of in scored.estimates))}
    between = f"{min(images):,} to {max(images):,}" if len(images) > 1 else f"{max(images, default=0):,}"
    few = len(board.subjects) < 4
    return [
        ("systems", f"{len(board.systems):,}"),
        ("subjects", ", ".join(board.subjects)),
        ("test images", between),
        (
            "intervals hold for",
            f"other images, {'these subjects' if few else 'and where said other subjects'}",
        ),
        ("ordered by", scored.ordered_by),
    ]


def _score_grid(
    scored: Scored, chosen: Sequence[int], name: str, caption: str, *, ends: bool = False
) -> Grid | None:
    """Lines by scores; `ends` with what it costs and what is known of a line."""
    if not chosen:
        return None
    columns = [scored.columns[k] for k in chosen]
    means = [scored.estimates[k] for k in chosen]
    scales = [
        Scale(_ends(of.values()), column.metric.chance) for of, column in zip(means, columns, strict=True)
    ]
    heads = [Head("adapter"), Head("decoder")]
    heads += [_heading(column, scale) for column, scale in zip(columns, scales, strict=True)]
    heads += [Head("s / image", "↓ decoding"), Head("what is known")] if ends else []

    def line(entry: Entry) -> tuple[str, str, tuple[Cell | None, ...]]:
        badges, costs = scored.facts[entry]
        cells: list[Cell | None] = [words_cell(entry.adapter), words_cell(entry.decoder)]
        for of, column, scale in zip(means, columns, scales, strict=True):
            cells.append(_score(of[entry], column, scale, badges, entry) if entry in of else None)
        if ends:
            is_system = entry.kind == ENTRY
            cells.append(_cost(costs.decode_seconds) if is_system else None)
            cells.append(words_cell("; ".join(badges.texts())) if is_system else None)
        # Badges stand at the end of a wide table; what is grave stands where no width hides it.
        grave = f" [{'; '.join(badges.grave())}]" if entry.kind == ENTRY and badges.grave() else ""
        return f"{entry.encoder}{grave}", entry.row.note, tuple(cells)

    levels = [(LEVELS[level], len(list(of))) for level, of in itertools.groupby(c.level for c in columns)]
    spans = (("", 2), *levels, *((("cost and badges", 2),) if ends else ()))
    caption += ": mean over images [95 % interval]; letters: systems that share one were not told apart"
    return Grid(name, caption, "encoder", tuple(heads), _bodies(scored, line), spans)


def _heading(column: Column, scale: Scale) -> Head:
    head = metric_head(column.metric, scale)
    return Head(column.heading, head.detail, head.chance)


def _score(own: Any, column: Column, scale: Scale, badges: Badges, entry: Entry) -> Cell:
    mean = own.mean
    over = bracket(*own.over_subjects)
    parts = [
        short_letters(own.group),
        f"other subjects {over}" if over else "",
        "self-metric" if entry.kind == ENTRY and column.metric.name in badges.circular else "",
        left_out(mean.missing),
        f"{mean.doubt}: interval uncertain" if mean.doubt else "",
    ]
    return Cell(
        mean.mean,
        number(mean.mean),
        bracket(mean.low, mean.high),
        " · ".join(filter(None, parts)),
        scale.marks(mean),
        mood="best" if "a" in _letters(own.group) else "",
    )


def _letters(group: str) -> set[str]:
    """The first letters of tie groups; ``a1`` is none of them."""
    return {sign for sign, after in zip(group, f"{group[1:]} ") if not after.isdigit()}


def _subject_grid(scored: Scored, chosen: Sequence[int], name: str) -> Grid:
    """The main scores of every subject, each in a column of its own."""
    pairs = [(k, subject) for k in chosen for subject in scored.board.subjects]
    heads = (Head("decoder"), *(Head(subject, scored.columns[k].heading) for k, subject in pairs))

    def line(entry: Entry) -> tuple[str, str, tuple[Cell | None, ...]]:
        cells: list[Cell | None] = [words_cell(entry.decoder)]
        for k, subject in pairs:
            own = scored.estimates[k].get(entry)
            if own is None:
                cells.append(None)
                continue
            of = own.by_subject[subject]
            cells.append(Cell(of.mean, number(of.mean), bracket(of.low, of.high)))
        return entry.encoder, entry.row.note, tuple(cells)

    spans = (("", 1), *((scored.columns[k].heading, len(scored.board.subjects)) for k in chosen))
    caption = "Each subject: mean over images [95 % interval over images]"
    return Grid(name, caption, "encoder", heads, _bodies(scored, line), spans)


def _facts_grid(scored: Scored, name: str) -> Grid | None:
    """Costs and badges of the systems, spelt out."""
    if not scored.board.systems:
        return None
    heads = (
        *(Head("adapter"), Head("decoder"), Head("seeds"), Head("training images")),
        *(Head("decoding", "↓ s / image"), Head("encoding", "↓ s / image"), Head("memory", "↓ MB")),
        *(
            Head("device memory", "↓ MB"),
            Head("encoder", "fitted numbers"),
            Head("decoder", "fitted numbers"),
        ),
        *(Head("device"), Head("verified"), Head("trained on test images"), Head("self-metrics")),
        *(Head("versions"), Head("alarms")),
    )

    def line(entry: Entry) -> tuple[str, str, tuple[Cell | None, ...]]:
        own, costs = scored.facts[entry]
        numbers = [costs.decode_seconds, costs.encode_seconds, costs.memory_mb, costs.device_memory_mb]
        numbers += [costs.encoder_parameters, costs.decoder_parameters]
        train = entry.runs[0].record.n_train
        cells = (
            *(words_cell(entry.adapter), words_cell(entry.decoder)),
            _cost(len({run.record.seed for run in entry.runs})),
            _cost(math.nan if train is None else train),
            *map(_cost, numbers),
            *map(words_cell, (costs.device, own.verified, own.contamination)),
            *(words_cell(", ".join(part)) for part in (own.circular, own.stale, own.alarms)),
        )
        return entry.encoder, "", cells

    body = Body("", tuple(line(entry) for entry in scored.board.systems))
    caption = (
        "What the systems cost and what is known of them; seconds are of images that were computed and not "
        "taken from the store, memory is that of the main process, fitted numbers are those that a fit keeps"
    )
    return Grid(name, caption, "encoder", heads, (body,))


def _tau_grid(scored: Scored, name: str) -> Grid | None:
    """Whether pairs of decoders put the encoders in the same order, by the main scores."""
    lines = []
    for column, pairs in zip(scored.columns, scored.taus, strict=True):
        for pair in pairs if column.main else ():
            scale = (float(pair["tau"]), number(pair["tau"], digits=2))
            cells = (
                *(words_cell(pair["decoder_a"]), words_cell(pair["decoder_b"])),
                Cell(float(pair["encoders"]), str(pair["encoders"])),
                Cell(*scale, bracket(pair["low"], pair["high"], digits=2)),
                *(words_cell(" > ".join(pair[side])) for side in ("order_a", "order_b")),
            )
            lines.append((column.heading, "", cells))
    if not lines:
        return None
    heads = (Head("decoder"), Head("another"), Head("encoders"), Head("Kendall's tau", "1: the same order"))
    heads += (Head("order under the first"), Head("order under the other"))
    caption = "Do two decoders put the encoders in the same order? tau-b [95 % interval over images]"
    return Grid(name, caption, "score", heads, (Body("", tuple(lines)),))


def _published(table: pd.DataFrame) -> Grid | None:
    """Published numbers, by source."""
    lines = table[table["kind"] == PUBLISHED]
    if lines.empty:
        return None
    metrics = list(dict.fromkeys(lines["metric"]))
    heads = (Head("encoder"), Head("decoder"), Head("subjects"), *(Head(name) for name in metrics))
    heads += (Head("s / image"), Head("not comparable because"))
    bodies = []
    for source, of_source in lines.groupby("source", sort=False):
        of_body = []
        for (system, subjects), own in of_source.groupby(["row", "subjects"], sort=False):
            first = own.iloc[0]
            values = {line.metric: line for line in own.itertuples()}
            cells = (
                *map(words_cell, (first["encoder"], first["decoder"], subjects)),
                *(_printed(values.get(name)) for name in metrics),
                _cost(math.nan if first["decode_seconds"] is None else first["decode_seconds"]),
                words_cell(first["differs"].removesuffix(f"; {UNCHECKED}")),
            )
            of_body.append((system, "", cells))
        bodies.append(Body(str(source), tuple(of_body)))
    caption = (
        "Numbers that papers print, under the name of the nearest score of this harness; a question mark: "
        f"{UNCHECKED}"
    )
    return Grid("published", caption, "system", heads, tuple(bodies))


def _printed(line: Any) -> Cell | None:
    if line is None:
        return None
    return Cell(line.mean, number(line.mean) + ("?" if line.differs.endswith(UNCHECKED) else ""))


def _bodies(scored: Scored, line: Any) -> tuple[Body, ...]:
    bodies = []
    for kind, heading in HEADINGS.items():
        own = tuple(line(entry) for entry in scored.board.entries if entry.kind == kind)
        if own:
            bodies.append(Body(heading, own))
    return tuple(bodies)


def _ends(estimates: Iterable[Any]) -> Any:
    import pandas as pd

    names = ("mean", "low", "high")
    return pd.DataFrame([[getattr(own.mean, name) for name in names] for own in estimates], columns=names)


def _cost(value: float) -> Cell:
    return Cell(value, amount(value))
