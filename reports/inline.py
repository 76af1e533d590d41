"""Pictures of a run as a piece of HTML that a notebook shows in its place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from html import escape

from harness.errors import ConfigError, DataError, suggest
from harness.results import RunResult

from .images import SHOWN_FIRST, Column, Tile, read_gallery
from .layout import SIMULATED, is_simulated

SIDE = 96
"""Pixels of a picture's side at the least; larger ones are shown as they lie in the gallery."""


@dataclass(frozen=True)
class Pictures:
    """Pictures by row and image; a notebook shows them where they are the last value of a cell."""

    rows: tuple[str, ...]
    ids: tuple[str, ...]
    html: str

    def _repr_html_(self) -> str:
        return self.html


def pictures(
    run: RunResult, rows: Collection[str] | None = None, *, images: int = 6, show_stimuli: bool = True
) -> Pictures:
    """The first `images` of the gallery, a line for each of `rows` (None: stimuli and what is compared).

    Raises
    ------
    ConfigError
        The gallery has no such row, or `images` is no number above 0.
    DataError
        The run has no gallery.
    """
    gallery = read_gallery(run, show_stimuli=show_stimuli)
    if gallery is None:
        raise DataError(f"{run.folder} has no pictures; they come with a decoder")
    if images < 1:
        raise ConfigError(f"images is {images}; expected 1 or more")
    columns = {column.name: column for column in (*gallery.columns, *gallery.constant)}
    if rows is None:
        rows = [name for name in columns if name in SHOWN_FIRST]
    for name in (names := [rows] if isinstance(rows, str) else list(rows)):
        if name not in columns:
            raise ConfigError(suggest(name, columns, what="row of the gallery"))
    ids = gallery.ids[:images]
    side = max(SIDE, gallery.side)
    style = f"width:{side}px;height:{side}px;object-fit:contain"
    style += ";image-rendering:pixelated" if gallery.pixelated else ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in ids)
    lines = "".join(_line(columns[name], len(ids), style) for name in names)
    caption = escape(f"{run.record.run}{f' ({SIMULATED})' if is_simulated(run) else ''}")
    html = f"<table><caption>{caption}</caption><tr><td></td>{heads}</tr>{lines}</table>"
    return Pictures(tuple(names), ids, html)


def _line(column: Column, count: int, style: str) -> str:
    """A row's pictures; the same one everywhere where a row has one for all images."""
    tiles = (column.tiles * count if len(column.tiles) == 1 else column.tiles)[:count]
    cells = "".join(f"<td>{_picture(tile, style)}</td>" for tile in tiles)
    return f"<tr><th>{escape(column.label)}</th>{cells}</tr>"


def _picture(tile: Tile, style: str) -> str:
    alt = escape(tile.alt)
    if not tile.source:
        return f'<div title="{alt}" style="{style};background:{escape(tile.colour)}"></div>'
    return f'<img src="{escape(tile.source)}" alt="{alt}" title="{alt}" style="{style}">'
