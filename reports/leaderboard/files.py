"""The files of a leaderboard: a page for readers, tables for papers, and the numbers for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..exports import csv_content, latex_content, markdown_content, markdown_text
from ..layout import SIMULATED
from ..page import write_whole
from .columns import LEVELS
from .page import TITLE, render_leaderboard
from .tables import PUBLISHED, UNCHECKED, wide_board, wide_published

if TYPE_CHECKING:
    import pandas as pd

    from . import Leaderboard

STEM = "leaderboard"

_TAUS = ("metric_label", "decoder_a", "decoder_b", "encoders", "tau", "low", "high", "order_a", "order_b")

_READING = (
    "mean over images [95 % interval over images, subjects held fixed]; systems that share a letter were not "
    "told apart by paired tests on the same images (Holm over all pairs of a column)"
)


def write_files(leaderboard: Leaderboard, folder: Path) -> list[Path]:
    """Write all formats into `folder`, each file whole or not at all, and give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = list(_parts(leaderboard))
    texts = {
        "html": render_leaderboard(leaderboard, folder).encode("utf-8", "backslashreplace"),
        "md": _markdown(parts),
        "csv": csv_content(leaderboard.table),
        "tex": _latex(parts),
        "parquet": leaderboard.table.to_parquet(None, index=False),
    }
    return [write_whole(folder / f"{STEM}.{kind}", content) for kind, content in texts.items()]


@dataclass(frozen=True)
class _Part:
    """A table with its title and what to know of it; levels : heading of a score -> its level."""

    title: str
    note: str
    table: pd.DataFrame
    levels: Mapping[str, str] = field(default_factory=dict)


def _parts(leaderboard: Leaderboard) -> Iterator[_Part]:
    """Every board, the orders under its decoders, and what is published."""
    table, taus = leaderboard.table, leaderboard.taus
    for scored in leaderboard.boards:
        title = scored.board.title
        notes = [SIMULATED] if scored.board.simulated else []
        notes += [f"ordered by {scored.ordered_by}", _READING, *scored.notes]
        levels = {column.heading: LEVELS[column.level] for column in scored.columns}
        yield _Part(title, "; ".join(notes), wide_board(table[table["board"] == title]), levels)
        pairs = taus[(taus["board"] == title) & taus["main"].fillna(False)]
        if len(pairs):
            yield _Part(
                f"{title}: order of encoders under two decoders",
                "Kendall's tau-b with its 95 % interval over images; 1 is the same order",
                pairs[list(_TAUS)],
            )
    published = table[table["kind"] == PUBLISHED]
    if len(published):
        yield _Part(
            "As published",
            "none was computed by this harness, and none may be compared with a line above; a question mark: "
            + UNCHECKED,
            wide_published(published),
        )


def _markdown(parts: Sequence[_Part]) -> bytes:
    contents = [f"# {TITLE}\n".encode()]
    for part in parts:
        head = f"\n## {markdown_text(part.title)}\n\n{markdown_text(part.note)}\n\n"
        named = {name: f"{level}: {name}" for name, level in part.levels.items()}
        contents.append(head.encode("utf-8", "backslashreplace"))
        contents.append(markdown_content(part.table.rename(columns=named)))
    return b"".join(contents)


def _latex(parts: Sequence[_Part]) -> bytes:
    contents = [b"% needs \\usepackage{booktabs}\n"]
    for part in parts:
        lines = [*part.title.splitlines(), *part.note.splitlines()]
        contents.append("".join(f"% {line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        content = latex_content(part.table)
        over = _levels_row([part.levels.get(name, "") for name in part.table.columns])
        contents += [content.replace(b"\\toprule\n", b"\\toprule\n" + over, 1), b"\n"]
    return b"".join(contents)


def _levels_row(levels: Sequence[str]) -> bytes:
    """A row of LaTeX that spans the columns of each level, with a rule below each."""
    if not any(levels):
        return b""
    cells, rules, place = [], [], 1
    for level, members in groupby(levels):
        width = len(list(members))
        cells.append(f"\\multicolumn{{{width}}}{{c}}{{{level}}}")
        rules += [f"\\cmidrule(lr){{{place}-{place + width - 1}}}"] if level else []
        place += width
    return f"{' & '.join(cells)} \\\\\n{' '.join(rules)}\n".encode()
