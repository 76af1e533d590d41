"""Tables of records with named columns: lists of trials, events, stimuli, voxels (``.csv``, ``.tsv``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, suggest
from .present import existing_file
from .tables import table_rows
from .texts import read_text


@dataclass(frozen=True)
class Records:
    """Columns of text by their heads, each of as many entries as there are rows."""

    path: Path
    columns: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def text(self, name: str) -> tuple[str, ...]:
        """The column `name`; an absent one is a :class:`DataError` that names those there are."""
        if name not in self.columns:
            raise DataError(f"{self.path}: " + suggest(name, list(self.columns), what="column"))
        return tuple(value.strip() for value in self.columns[name])

    def numbers(self, name: str) -> np.ndarray:
        """(rows,) float64; blanks, ``n/a`` and ``nan`` are NaN."""
        values = np.full(len(self), np.nan)
        for row, text in enumerate(self.text(name)):
            if text.lower() in ("", "n/a", "na", "nan", "null"):
                continue
            try:
                values[row] = float(text)
            except ValueError:
                raise DataError(
                    f"{self.path}: row {row + 1} of '{name}' is '{text}'; expected a number"
                ) from None
        return values

    def integers(self, name: str) -> np.ndarray:
        """(rows,) int64; anything else is a :class:`DataError`."""
        values = self.numbers(name)
        wrong = np.flatnonzero(~np.isfinite(values) | (values != np.round(values)))
        if len(wrong):
            raise DataError(
                f"{self.path}: row {wrong[0] + 1} of '{name}' is '{self.text(name)[wrong[0]]}'; expected "
                f"a whole number"
            )
        return values.astype(np.int64)


def read_records(path: Path, *, needs: Sequence[str] = ()) -> Records:
    """The table in `path`, whose first line holds the heads.

    Raises
    ------
    DataError
        No file, no row, a head that is empty or doubled, a row of another length, or one of `needs` absent.
    """
    rows = list(table_rows(path, read_text(existing_file(path, may_be_empty=True))))
    if len(rows) < 2:
        raise DataError(f"{path} holds no row below its heads")
    heads = [name.strip() for name in rows[0]]
    doubled = sorted(name for name, count in Counter(heads).items() if count > 1)
    if doubled:
        raise DataError(f"{path} has two columns called '{doubled[0]}'")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(heads):
            raise DataError(f"{path} has {len(row)} entries in row {number} and {len(heads)} heads")
    records = Records(path, dict(zip(heads, zip(*rows[1:]))))
    for name in needs:
        records.text(name)
    return records
