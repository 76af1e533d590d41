"""How every chart of a report is drawn: Altair describes it, vl-convert draws it, nothing is fetched.

Colours are drawn as sentinels and then replaced by CSS variables, so that one drawing serves light,
dark and print.
"""

from __future__ import annotations

import hashlib
import html
import io
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult

from .layout import ordered_rows

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

logger = logging.getLogger(__name__)

_COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#040404": "var(--row-measured)",
    "#050505": "var(--row-predicted)",
    "#060606": "var(--row-reference)",
    "#070707": "var(--row-control)",
}
INK, SOFT, LINE, MEASURED, PREDICTED, REFERENCE, CONTROL = _COLOURS
_MEASURED_ROWS = ("measured", "measured-trial", "remeasured", "half-1", "half-2")
_GROUP_COLOURS = {"compared": PREDICTED, "reference": REFERENCE, "control": CONTROL}
_GROUP_COLOURS |= {"bottleneck": MEASURED, "lesion": CONTROL, "other": SOFT}

FOLDER = "figures"
"""Where the figures of a page lie, beside it."""

NARROWEST = 0.8
"""Least share of its size to which a chart shrinks; on a narrower page it scrolls, and stays readable."""


@dataclass(frozen=True)
class Figure:
    """A figure as a page shows it, and what lies beside the page: itself alone, and the table behind it.

    file : name of both in :data:`FOLDER`, without an ending.  svg : for inlining.
    """

    file: str
    svg: str
    table: pd.DataFrame


@dataclass
class Figures:
    """The figures of one report, each drawn on its own: one that fails costs itself alone.

    failed : (name, why) of those that could not be drawn, for the report to say.
    """

    drawn: list[Figure] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def draw(self, name: str, figure: Callable[[], str], table: Callable[[], pd.DataFrame]) -> Figure | None:
        """What `figure` returns with the `table` behind it; None where it draws nothing, or where one of them
        raises, which is noted under `name`."""
        try:
            svg = figure()
            if not svg:
                return None
            self.drawn.append(Figure(name.replace(" ", "-"), svg, table()))
            return self.drawn[-1]
        except Exception as problem:
            why = f"{type(problem).__name__}: {problem}"
            logger.debug("the figure '%s' fails", name, exc_info=True)
            logger.warning("the figure '%s' is left out of the report: %s", name, why)
            self.failed.append((name, why))
            return None


def alone(svg: str) -> str:
    """An inlined drawing of :func:`to_svg` as a file: with its name space and the colours of light paper."""
    light = (Path(__file__).parent / "page.css").read_text("utf-8").partition("}")[0]
    colours = dict(re.findall(r"(--[\w-]+):\s*(#\w+)", light))
    svg = re.sub(r"var\((--[\w-]+)\)", lambda match: colours[match[1]], svg)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return re.sub(r' style="width:100%;[^"]*"', "", svg.replace("<svg", start, 1), count=1)


DIVERGING = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
"""Blue over near white to red (ColorBrewer's RdBu, reversed; Brewer 2003), told apart with any colour vision
and in print."""


def bin_edges(values: np.ndarray, count: int) -> np.ndarray:
    """(count + 1,) edges of equal bins over `values`; values that are equal but for rounding get room.

    :func:`numpy.histogram` refuses a range that floating point cannot cut into so many bins, as that of
    correlations which are all 1 is.
    """
    low, high = float(np.min(values)), float(np.max(values))
    least = 1e-3 * max(abs(low), abs(high), 1e-3)
    if high - low < least:
        low, high = (low + high) / 2 - least / 2, (low + high) / 2 + least / 2
    return np.linspace(low, high, count + 1)


def density(
    sides: Sequence[np.ndarray],
    edges: Sequence[np.ndarray],
    colour: str,
    x: dict[str, Any],
    y: dict[str, Any],
) -> alt.Chart:
    """Cells of a histogram in two dimensions, the stronger the colour, the more values in a cell.

    sides, edges : values (N,) and edges of their bins, across and up.  x, y : further arguments of
        ``altair.X`` and ``altair.Y``.
    """
    import altair as alt
    import pandas as pd

    counts, left, bottom = np.histogram2d(*sides, bins=edges)
    i, j = np.nonzero(counts)
    corners = {"x": left[i], "x2": left[i + 1], "y": bottom[j], "y2": bottom[j + 1]}
    # Square root: single values stay visible beside cells of hundreds.
    frame = pd.DataFrame({**corners, "share": np.sqrt(counts[i, j] / counts.max()) * 0.9 + 0.1})
    return (
        alt.Chart(frame)
        .mark_rect(color=colour)
        .encode(
            x=alt.X("x:Q", **x),
            x2="x2:Q",
            y=alt.Y("y:Q", **y),
            y2="y2:Q",
            opacity=alt.Opacity("share:Q", scale=None, legend=None),
        )
    )


def row_colour(run: RunResult, name: str) -> str:
    """Colour of the row `name`, by its group."""
    return MEASURED if name in _MEASURED_ROWS else _GROUP_COLOURS[ordered_rows(run, [name])[0].group]


def to_svg(chart: alt.Chart | alt.LayerChart | alt.ConcatChart, text: str) -> str:
    """`chart` as SVG for inlining: CSS colours, no namespace address, as wide as the page allows.

    text : what a reader who cannot see the chart is told.
    """
    import altair as alt

    axis = {"labelColor": SOFT, "titleColor": INK, "gridColor": LINE, "domainColor": LINE}
    axis |= {"tickColor": LINE, "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 12}
    styled = chart.configure(
        font="Liberation Sans",
        background="transparent",
        # Room at the left for names in a wider font than the one they were measured with.
        padding={"left": 26, "right": 8, "top": 5, "bottom": 5},
        axis=axis,
        legend={"labelColor": INK, "labelFontSize": 12, "labelLimit": 260, "columnPadding": 26},
        title={"color": INK, "fontSize": 12, "fontWeight": "normal", "anchor": "start"},
        view={"stroke": None},
    )
    out = io.StringIO()
    with alt.data_transformers.enable("default", max_rows=None):
        styled.save(out, format="svg")
    svg = out.getvalue()
    for sentinel, variable in _COLOURS.items():
        svg = svg.replace(sentinel, variable)
    svg = _own_ids(re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg))
    return _described(_scalable(svg), text)


def _own_ids(svg: str) -> str:
    """Ids of gradients and the like named by the drawing, not by how many were drawn before it."""
    for k, name in enumerate(dict.fromkeys(re.findall(r'\sid="([^"]+)"', svg))):
        svg = svg.replace(f'"{name}"', f'"own{k}"').replace(f"#{name})", f"#own{k})")
    sha = hashlib.sha256(svg.encode()).hexdigest()[:8]
    return re.sub(r'(id="|url\(#)own(\d+)', rf"\g<1>own{sha}-\2", svg)


def _scalable(svg: str) -> str:
    """Let the drawing shrink with the page: its width becomes a maximum, most of it a minimum."""

    def style(match: re.Match[str]) -> str:
        width = float(match[2])
        least = round(width * NARROWEST)
        return f'<svg{match[1]} style="width:100%;max-width:{width:g}px;min-width:{least}px"'

    return re.sub(r'<svg\b([^>]*?)\swidth="([\d.]+)"\s+height="[\d.]+"', style, svg, count=1)


def _described(svg: str, text: str) -> str:
    """One picture with a text in its place, for those who have it read to them."""
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(text)}"', 1)
