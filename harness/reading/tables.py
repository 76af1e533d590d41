"""Tables of ``.csv`` and ``.tsv`` files, as pandas, R, MATLAB and spreadsheets write them.

The columns of numbers, beside those that name the rows, are one array (rows, columns) without a name, so
that a table of predictions has a column per voxel.  Ids stand in a column called ``ids``, ``id``,
``image_id``, ``image_ids``, ``image``, ``stimulus`` or ``stimulus_id``, or else in a first column of text
or without a head.  Each column is an array under its own head, too.  Where the delimiter is a
semicolon, numbers may have a decimal comma.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ..errors import DataError, quoted
from .sources import ArrayInfo, ArraySource, Entry, MemoryArray
from .texts import read_text

logger = logging.getLogger(__name__)

ID_HEADS = ("ids", "id", "image_ids", "image_id", "image", "stimulus_id", "stimulus")
_NOT_A_NUMBER = ("", "na", "nan", "null", "n/a")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf(inity)?", re.I)
_MOST_SHOWN = 64
"""Columns of a table that are listed one by one; beyond, they are voxels."""


@dataclass(frozen=True)
class _Table:
    """heads: of the columns, "" where there is none; ids: column of them, or None; texts: column -> its
    cells; numbers: (rows, columns of numbers) and which columns these are."""

    heads: tuple[str, ...]
    ids: int | None
    texts: dict[int, np.ndarray]
    numbers: np.ndarray
    columns: tuple[int, ...]
    counted: bool  # the ids stand under no head and are 0, 1, 2, ...: perhaps numbers of rows


def table_entries(path: Path) -> list[Entry]:
    """The array of numbers, the ids, and every column by its head.

    Raises
    ------
    DataError
        A row of another length, a word among numbers, or a last line that was cut off.
    """
    state = path.stat()
    table = _read(path, state.st_mtime_ns, state.st_size)
    entries = []
    if table.columns:
        info = ArrayInfo(path.stem, table.numbers.shape, "float64", bare=True)
        entries.append(Entry(info, lambda: MemoryArray(table.numbers, path.name)))
    elif len(table.heads) == 1:
        (texts,) = table.texts.values()
        info = ArrayInfo(path.stem, texts.shape, "text", bare=True)
        entries.append(Entry(info, lambda: MemoryArray(texts, path.name)))
    named = [(k, head) for k, head in enumerate(table.heads) if head and k != table.ids]
    if table.ids is not None:
        head = table.heads[table.ids]
        listed = {"ids", head} - {""} if head not in ("ids", "") else {"ids"}
        named = [(table.ids, name) for name in sorted(listed)] + named
    for k, head in named if len(named) <= _MOST_SHOWN else named[: 1 if table.ids is not None else 0]:
        text = k in table.texts
        info = ArrayInfo(head, (len(table.numbers),), "text" if text else "float64")
        entries.append(Entry(info, partial(_column, path, table, k, head)))
    return entries


def _column(path: Path, table: _Table, k: int, head: str) -> ArraySource:
    what = f"'{head}' of {path.name}"
    if k == table.ids and table.counted:
        raise DataError(
            f"{path}: its first column has no head and holds 0, 1, 2, ...: ids, or numbers of rows? Call it "
            "ids in the first line, or take it out and put the ids into a column called ids"
        )
    if k in table.texts:
        return MemoryArray(table.texts[k], what)
    return MemoryArray(table.numbers[:, table.columns.index(k)], what)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> _Table:
    text = read_text(path)
    rows = table_rows(path, text)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path} holds no row")
    headed = _is_head(first)
    heads = tuple(_head(cell) for cell in first) if headed else ("",) * len(first)
    sample = next(rows, None) if headed else first
    if sample is None:
        raise DataError(f"{path} holds a head and no row")
    semicolon = _delimiter(path, text) == ";"
    ids = _id_column(heads, sample, headed=headed, comma=semicolon)
    textual = [k for k, cell in enumerate(sample) if k == ids or not _is_number(cell, comma=semicolon)]
    columns = tuple(k for k in range(len(first)) if k not in textual)
    texts: dict[int, list[str]] = {k: [] for k in textual}
    numbers: list[np.ndarray] = []
    row, shortest = sample, len(sample[-1])
    while row is not None:
        line = len(numbers) + 1 + headed
        if len(row) != len(first):
            raise DataError(
                f"{path} has {len(row)} columns in row {line} and {len(first)} in the first; it is damaged, "
                "truncated, or has a delimiter inside a text that is not in quotes"
            )
        for k, cells in texts.items():
            cells.append(row[k])
        numbers.append(_numbers(path, row, columns, line=line, comma=semicolon, heads=heads))
        last, row = row, next(rows, None)
        shortest = shortest if row is None else min(shortest, len(last[-1]))
    if not text.endswith(("\n", "\r")):
        _require_whole(path, last, shortest)
    listed = {k: np.array(cells, str) for k, cells in texts.items()}
    counts = [str(k) for k in range(len(numbers))]
    counted = ids is not None and not heads[ids] and listed[ids].tolist() == counts
    values = np.array(numbers).reshape(len(numbers), -1)
    # pandas writes the numbers of the rows before columns with names unless it is told not to.
    if headed and ids and not heads[0] and columns[:1] == (0,) and [f"{v:g}" for v in values[:, 0]] == counts:
        columns, values = columns[1:], values[:, 1:]
    return _Table(heads, ids, listed, values, columns, counted)


def table_rows(path: Path, text: str) -> Iterator[list[str]]:
    """The cells of each row of a table's `text` that is not blank; damage is a :class:`DataError`."""
    lines = io.StringIO(text, newline=None)
    if text.lower().startswith("sep="):  # a word to spreadsheets
        next(lines)
    try:
        yield from (row for row in csv.reader(lines, delimiter=_delimiter(path, text), strict=True) if row)
    except csv.Error as problem:
        raise DataError(f"{path} cannot be read as a table: {problem}. It is damaged or truncated") from None


def _delimiter(path: Path, text: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    head = text[: text.find("\n")] if "\n" in text else text
    if head.lower().startswith("sep="):
        return head[4:5] or ","
    return max(",", ";", "\t", key=head.count)


def _is_head(row: list[str]) -> bool:
    """Whether the first row names the columns: by words, by a blank first cell, or as 0, 1, 2, ..."""
    if row[0].strip().lower() in ID_HEADS or (len(row) > 1 and not row[0].strip()):
        return True
    if any(not _is_number(cell, comma=True) for cell in row[1:]):
        return True
    counts = [cell.strip() for cell in row]
    return len(row) > 2 and any(
        counts[skip:] == [str(k + base) for k in range(len(row) - skip)] for skip in (0, 1) for base in (0, 1)
    )


def _head(cell: str) -> str:
    """A head as it was given; pandas calls a column without one, read and written again, "Unnamed: 0"."""
    return "" if re.fullmatch(r"Unnamed: \d+", cell.strip()) else cell.strip()


def _id_column(heads: tuple[str, ...], sample: list[str], *, headed: bool, comma: bool) -> int | None:
    lower = [head.lower() for head in heads]
    for name in ID_HEADS:
        if name in lower:
            return lower.index(name)
    blank = headed and len(heads) > 1 and not heads[0]
    return 0 if len(heads) > 1 and (blank or not _is_number(sample[0], comma=comma)) else None


def _is_number(cell: str, *, comma: bool) -> bool:
    cell = cell.strip()
    return cell.lower() in _NOT_A_NUMBER or bool(_NUMBER.fullmatch(cell.replace(",", ".") if comma else cell))


def _numbers(
    path: Path, row: list[str], columns: tuple[int, ...], *, line: int, comma: bool, heads: tuple[str, ...]
) -> np.ndarray:
    cells = [row[k] for k in columns]
    if comma:
        cells = [cell.replace(",", ".") for cell in cells]
    try:
        return np.array(cells, np.float64)
    except ValueError:  # a blank or NA somewhere, or a word
        pass
    for k, cell in zip(columns, cells):
        if not _is_number(cell, comma=False):
            column = f"'{heads[k]}'" if heads[k] else str(k + 1)
            raise DataError(
                f"{path} holds {quoted(row[k])} in row {line}, column {column}; expected a number"
            )
    missing = [cell.strip().lower() in _NOT_A_NUMBER for cell in cells]
    return np.array([np.nan if gone else float(cell) for gone, cell in zip(missing, cells)])


def _require_whole(path: Path, last: list[str], shortest: int) -> None:
    """A file without a line break at its end may have been cut: in its last number, if that is short."""
    if not _is_number(last[-1], comma=True):
        return
    if len(last[-1]) < min([shortest, *map(len, last[1:-1])]):
        raise DataError(
            f"{path} ends in {quoted(last[-1])} without a line break, as if it were truncated there; copy or "
            "export it again, or if it is whole add a line break at its end"
        )
    logger.info("%s has no line break at its end", path)
