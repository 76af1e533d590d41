"""``gallery.html``: every test image with its reconstructions, each loaded when it comes into sight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError
from harness.results import RunResult

from .answer import headline_metrics
from .grids import Cell, Head, number_cell
from .images import LOSSLESS_SIDE, SHOWN_FIRST, STIMULUS_ROWS, hides_stimuli
from .layout import SIMULATED, is_simulated, ordered_rows, title
from .page import render_page, write_page
from .predicted import agreement_by_image
from .values import image_values

PAGE, INDEX, FOLDER = "gallery.html", "gallery.json", "gallery"

_SCORED = ("measured", "predicted", "reconstructions")
_SCORES = 4
"""Headline scores of each row beside its images."""


@dataclass(frozen=True)
class Line:
    """An image: address and words of each picture, ``""`` where there is none, and its scores."""

    id: str
    pictures: tuple[tuple[str, str], ...]
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Pictures:
    """``gallery.json``: ids, and row -> a path in the run's folder for each."""

    ids: tuple[str, ...]
    paths: dict[str, tuple[str, ...]]


def read_pictures(run: RunResult) -> Pictures | None:
    """The index of `run`, or None where it kept no pictures.

    Raises
    ------
    DataError
        It is damaged, or names files outside its folder.
    """
    file = run.folder / INDEX
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text("utf-8"))
        ids = tuple(map(str, content["ids"]))
        paths = {str(row): tuple(map(str, own)) for row, own in content["paths"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{file} is damaged; type the command of that run again") from None
    for row, own in paths.items():
        inside = all(Path(path).parts[:1] == (FOLDER,) and ".." not in Path(path).parts for path in own)
        if len(own) != len(ids) or not inside:
            raise DataError(f"{file}: '{row}' does not belong to its ids; type the command of that run again")
    return Pictures(ids, paths)


def write_gallery(run: RunResult, folder: Path, *, shareable: bool = False) -> Path | None:
    """Write ``gallery.html`` into `folder`, that of the run or a shareable one; None without pictures.

    shareable : without stimuli and what is made of them; the pictures that stay are copied beside the page.
    """
    pictures = read_pictures(run)
    if pictures is None:
        return None
    hidden = hidden_rows(run, pictures) if shareable else set()
    kept = {row: own for row, own in pictures.paths.items() if row not in hidden}
    if folder != run.folder:
        for path in (path for own in kept.values() for path in own):
            source = run.folder / path
            if source.is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(source.read_bytes())
    text = render_gallery(run, Pictures(pictures.ids, kept), withheld=bool(hidden))
    return write_page(folder / PAGE, text)


def hidden_rows(run: RunResult, pictures: Pictures) -> set[str]:
    """Rows that may not be shown where stimuli may not: those, what is made of them, and all rows of a
    decoder that hands out training images."""
    return set(pictures.paths) if hides_stimuli(run) else set(STIMULUS_ROWS)


def render_gallery(run: RunResult, pictures: Pictures, *, withheld: bool = False) -> str:
    """The page as text."""
    labels = {"stimulus": "stimulus"}
    labels |= {
        row.name: row.label for row in ordered_rows(run, [r for r in pictures.paths if r != "stimulus"])
    }
    rows = [row for row in dict.fromkeys((*SHOWN_FIRST, *labels)) if row in pictures.paths]
    values = image_values(run)
    agreement, by_what = agreement_by_image(run)
    columns = [
        (row, metric)
        for metric in headline_metrics(run)[:_SCORES]
        for row in _SCORED
        if not values.empty and (row, metric.name) in values
    ]
    heads = [Head(by_what, "measured and predicted")] if len(agreement) else []
    heads += [Head(metric.label, labels.get(row, row)) for row, metric in columns]
    lines = []
    for k, name in enumerate(pictures.ids):
        shown = [float(agreement.get(name, np.nan))] if len(agreement) else []
        shown += [float(values[row, metric.name].get(name, np.nan)) for row, metric in columns]
        cells = tuple(map(number_cell, shown))
        sources = tuple((pictures.paths[row][k], f"{labels[row]}, image {name}") for row in rows)
        lines.append(Line(name, sources, cells))
    return render_page(
        PAGE,
        title=f"All images: {title(run)}",
        simulated=SIMULATED if is_simulated(run) else "",
        lines=lines,
        labels=[labels[row] for row in rows],
        heads=heads,
        withheld=withheld,
        pixelated=_small(run),
    )


def _small(run: RunResult) -> bool:
    """Whether pictures are enlarged without smoothing, as those of the report are."""
    if not (run.folder / "gallery.npz").is_file():
        return False
    gallery: dict[str, Any] = run.gallery
    sides = [max(images.shape[1:3]) for name, images in gallery.items() if name != "ids" and images.ndim == 4]
    return bool(sides) and max(sides) <= LOSSLESS_SIDE
