"""Numbers that papers print, in ``configs/published.yaml``: reference rows, never targets.

Each line has its source, what was decoded or predicted, and in what it cannot be compared with a run.  Values
are on the scale of this harness and under the names of its metrics whose definitions are nearest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .errors import ConfigError, quoted
from .settings import listed, mapping, read_yaml

SECONDS = "seconds"
"""The column that is no metric: seconds per image."""

VARIANTS = ("-v2", "-strict")
"""Endings of names of metrics that are near each other: one score and network, defined a little otherwise."""

_OWN = ("source", "subjects", "n_test", "differs", "unchecked")
_TABLE = ("dataset", *_OWN, "columns", "rows")
_ROW = ("system", "encoder", "decoder", "values", *_OWN)


@dataclass(frozen=True)
class PublishedRow:
    """One line of a published table.

    system : as a reader knows it.  encoder, decoder : names of the systems in this harness, perhaps of none
        that is here; without an encoder the responses are measured ones, without a decoder nothing was
        decoded.
    subjects : whom the values are means over.  n_test : test images, None where it is not stated.
    values : metric (without version) -> value.  seconds : for one image, None where none is printed.
    differs : in what the values cannot be compared with a run of this harness.
    unchecked : metrics whose value was not compared with the printed table again.
    """

    name: str
    system: str
    encoder: str
    decoder: str
    dataset: str
    subjects: tuple[str, ...]
    n_test: int | None
    values: Mapping[str, float]
    seconds: float | None
    source: str
    differs: tuple[str, ...]
    unchecked: tuple[str, ...]

    def near(self, metric: str) -> str:
        """The metric of :attr:`values` that is `metric` (with or without version), or nearest to it.

        The same score of the same network with ties lost in place of half, or with antialiasing, is near and
        not the same; that of a small network (``clip@tiny``) is of another.  ``""``: there is none.
        """
        base = base_name(metric)
        if base in self.values:
            return base
        plain = _plain(base)
        return next((name for name in self.values if _plain(name) == plain), "")


def published_rows(file: Path | None = None) -> tuple[PublishedRow, ...]:
    """All lines of `file`, or of the table that comes with the harness.

    Raises
    ------
    ConfigError
        A line lacks its source or what differs, or holds what is no number; with its place.
    """
    return _shipped() if file is None else tuple(_read(Path(file)))


def base_name(metric: str) -> str:
    """The name of a metric without its version: ``clip@tiny`` of ``clip@tiny@1``."""
    name, at, version = metric.rpartition("@")
    return name if at and version.isdigit() else metric


def _plain(base: str) -> str:
    for ending in VARIANTS:
        base = base.removesuffix(ending)
    return base


@cache
def _shipped() -> tuple[PublishedRow, ...]:
    return tuple(_read(Path(str(resources.files("harness.configs"))) / "published.yaml"))


def _read(file: Path) -> list[PublishedRow]:
    content = mapping(read_yaml(file), keys=("tables",), where=str(file))
    rows: dict[str, PublishedRow] = {}
    for place, given in enumerate(listed(content.get("tables"), where=f"{file}: tables")):
        where = f"{file}: tables[{place}]"
        table = mapping(given, keys=_TABLE, where=where)
        columns = mapping(table.get("columns") or {}, where=f"{where}.columns")
        for name, line in mapping(table.get("rows") or {}, where=f"{where}.rows").items():
            if name in rows:
                raise ConfigError(f"{where}.rows.{name}: that name was given before; each line has its own")
            own = mapping(line, keys=_ROW, where=f"{where}.rows.{name}")
            rows[name] = _row(name, own, table, columns, where=f"{where}.rows.{name}")
    return list(rows.values())


def _row(
    name: str, own: Mapping[str, Any], table: Mapping[str, Any], columns: Mapping[str, Any], *, where: str
) -> PublishedRow:
    printed = listed(own.get("values"), where=f"{where}.values")
    if len(printed) != len(columns):
        raise ConfigError(f"{where}.values has {len(printed)} values for {len(columns)} columns; ~ is none")
    values = {
        column: round(
            _number(value, where=f"{where}.values") * _number(factor, where=f"{where}: {column}"), 9
        )
        for (column, factor), value in zip(columns.items(), printed)
        if value is not None
    }
    seconds = values.pop(SECONDS, None)
    differs = [*_texts(table, "differs", where), *_texts(own, "differs", where)]
    merged = {**table, **own, "differs": differs}
    if lacking := [key for key in ("source", "dataset", "system", "differs") if not merged.get(key)]:
        raise ConfigError(
            f"{where} lacks {', '.join(lacking)}; a published number says where it is printed and in what it "
            "differs"
        )
    given = merged.get("unchecked") or []
    unchecked = tuple(values) if given == "all" else _texts(merged, "unchecked", where)
    if strange := [column for column in unchecked if column not in columns]:
        raise ConfigError(f"{where}.unchecked names {quoted(strange[0])}, which is no column")
    n_test = merged.get("n_test")
    return PublishedRow(
        name,
        str(own["system"]),
        str(own.get("encoder") or ""),
        str(own.get("decoder") or ""),
        str(merged["dataset"]),
        _texts(merged, "subjects", where),
        None if n_test is None else int(_number(n_test, where=f"{where}.n_test")),
        values,
        seconds,
        str(merged["source"]),
        tuple(differs),
        tuple(column for column in unchecked if column in values),
    )


def _number(value: Any, *, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{where}: expected a number, found {quoted(value)}")
    return number


def _texts(given: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    return tuple(str(text) for text in listed(given.get(key) or [], where=f"{where}.{key}"))
