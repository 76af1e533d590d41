"""Leaderboards: runs of many systems side by side, beside what measured fMRI, controls and papers have.

In a notebook::

    from harness.reports.leaderboard import leaderboard

    board = leaderboard(["runs"])       # folders of runs or submissions, or folders that hold them
    board.table                         # a pandas frame: one line for each score of each system
    board.write("leaderboard")          # HTML, Markdown, CSV, LaTeX and parquet
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import DataError
from harness.published import PublishedRow, published_rows
from harness.results import RunResult

from ..comparable import code_notes
from .badges import Badges, Costs, badges, costs
from .boards import ENTRY, Board, Entry, find_boards
from .columns import Column, find_columns, read_rows
from .estimates import Estimated, Read, decoder_agreement, estimate, line_values
from .reading import ImageScores, Key, Shared, read_scores
from .tables import TABLE_COLUMNS, TAU_COLUMNS, frame, published_lines, score_lines, tau_lines, wide_board

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLE_COLUMNS", "TAU_COLUMNS", "Leaderboard", "leaderboard"]

ORDERED_BY = ("voxel-r", "decoded-agreement-controlled", "decoded-agreement")
"""Scores by which lines are ordered at first, the first that a board has; else its first column.  Scores of
decoded images come last, since they can put the worst encoder first."""


@dataclass(frozen=True)
class Scored:
    """One board, computed.

    columns : its scores.  estimates : column -> line -> score.  facts : badges and costs of each line.
    taus : column -> pairs of decoders.  ordered_by : label of the score that orders the lines.
    notes : what a reader must know.
    """

    board: Board
    columns: tuple[Column, ...]
    estimates: tuple[Mapping[Entry, Estimated], ...]
    facts: Mapping[Entry, tuple[Badges, Costs]]
    taus: tuple[list[dict[str, object]], ...]
    ordered_by: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Leaderboard:
    """Boards, each of runs that may be compared, and published numbers, which may not.

    table : :data:`TABLE_COLUMNS`, one line for each score of each line, published ones last.
    taus : :data:`TAU_COLUMNS`, one line for each score and pair of decoders that share encoders.
    """

    boards: tuple[Scored, ...]
    table: pd.DataFrame
    taus: pd.DataFrame
    published: tuple[PublishedRow, ...]

    def wide(self, board: str = "", *, every: bool = False) -> pd.DataFrame:
        """One line for each line of a board, and a column for each score: "mean [low, high] group".

        board : its title; by default the first.  every : all scores, not only those that are shown first.
        """
        titles = [scored.board.title for scored in self.boards]
        if board and board not in titles:
            raise DataError(f"there is no board '{board}'; there are: {'; '.join(titles)}")
        return wide_board(self.table[self.table["board"] == (board or titles[0])], every=every)

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``leaderboard.html``, ``.md``, ``.csv``, ``.tex`` and ``.parquet`` into `folder`, and give
        their paths."""
        from .files import write_files

        return write_files(self, Path(folder))

    def _repr_html_(self) -> str:
        """The first board, as a notebook shows it."""
        return self.wide()._repr_html_()


def leaderboard(
    runs: Sequence[str | Path | RunResult], *, versions: Mapping[str, Collection[str]] | None = None
) -> Leaderboard:
    """The leaderboard of `runs`: folders of runs or submissions, or folders that hold such folders.

    versions : benchmark or metric (without version) -> versions that are installed, by which runs of another
    are told; without it none are.

    Raises
    ------
    DataError
        A folder holds no run, or a run is damaged.
    """
    boards = find_boards(open_runs(runs))
    lines, taus, scored = [], [], []
    read = _read([entry for board in boards for entry in board.entries])
    for board in boards:
        own = _scored(board, read, versions or {})
        scored.append(own)
        for column, estimates, pairs in zip(own.columns, own.estimates, own.taus, strict=True):
            lines += score_lines(own.board, column, estimates, own.facts)
            taus += tau_lines(own.board, column, pairs)
    published = published_rows()
    table = frame([*lines, *published_lines(published)], TABLE_COLUMNS)
    return Leaderboard(tuple(scored), table, frame(taus, TAU_COLUMNS), published)


def open_runs(given: Sequence[str | Path | RunResult]) -> list[RunResult]:
    """Runs of `given`, each once; of a folder without ``run.json`` those that lie in it, by name.

    Raises
    ------
    DataError
        There is none in a folder.
    """
    runs: dict[Path, RunResult] = {}
    for item in given:
        for run in [item] if isinstance(item, RunResult) else _in_folder(Path(item)):
            runs.setdefault(run.folder.resolve(), run)
    return list(runs.values())


def _in_folder(folder: Path) -> list[RunResult]:
    if (folder / "run.json").is_file() or not folder.is_dir():
        return [RunResult.open(folder)]
    inner = [path for path in sorted(folder.iterdir()) if (path / "run.json").is_file()]
    if not inner:
        raise DataError(
            f"{folder} holds no run.json, and no folder in it does; give folders that 'harness run' or "
            "'harness submit' wrote, or the folder that they lie in"
        )
    return [RunResult.open(path) for path in inner]


def _read(entries: Sequence[Entry]) -> Read:
    read: dict[tuple[int, str], Mapping[Key, ImageScores]] = {}
    shared: Shared = {}
    for run, rows in read_rows(entries).values():
        scores = read_scores(run, rows, shared)
        for row in rows:
            read[id(run), row] = {key: score for key, score in scores.items() if key[0] == row}
    return read


def _scored(board: Board, read: Read, versions: Mapping[str, Collection[str]]) -> Scored:
    columns = find_columns(board, read)
    estimates, taus = [], []
    for column in columns:
        values = line_values(board, column, read)
        estimates.append(estimate(board, column, values))
        taus.append(decoder_agreement(board, column, values))
    board, ordered_by = _ordered(board, columns, estimates)
    return Scored(
        board,
        columns,
        tuple(estimates),
        {entry: (badges(entry, versions), costs(entry)) for entry in board.entries},
        tuple(taus),
        ordered_by,
        tuple(_notes(board, columns)),
    )


def _ordered(
    board: Board, columns: Sequence[Column], estimates: Sequence[Mapping[Entry, Estimated]]
) -> tuple[Board, str]:
    """`board` with its systems in the order of one score, the best first, and what that is called."""
    main = [k for k, column in enumerate(columns) if column.main] or list(range(len(columns)))
    by_name = {columns[k].metric.base: k for k in reversed(main)}
    chosen = next((by_name[name] for name in ORDERED_BY if name in by_name), main[0] if main else None)
    if chosen is None:
        return board, ""
    sign = -1 if columns[chosen].metric.higher_is_better else 1
    means = {entry: sign * own.mean.mean for entry, own in estimates[chosen].items()}
    systems = sorted(board.systems, key=lambda entry: means.get(entry, np.inf))
    beside = [entry for entry in board.entries if entry.kind != ENTRY]
    return replace(board, entries=(*systems, *beside)), columns[chosen].heading


def _notes(board: Board, columns: Sequence[Column]) -> list[str]:
    systems = board.systems
    notes = code_notes([run for entry in board.entries for run in entry.runs])
    if others := [column.heading for column in columns if column.other]:
        notes.append(
            f"scores of one name and another definition stand in columns of their own: {'; '.join(others)}"
        )
    if len({entry.decoder for entry in systems}) < 2 and len(systems) > 1:
        notes.append(
            "all systems have one decoder: whether another puts them in the same order is not known; give "
            "runs through a second one"
        )
    if all(len({run.record.seed for run in entry.runs}) == 1 for entry in systems):
        notes.append(
            "one seed of each system: what another seed of fit or decoder would score is in no interval and "
            "in no tie group"
        )
    return notes
