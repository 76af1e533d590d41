"""The page of ``harness data doctor``: what was judged of data before any model, and on what it rests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .grids import Body, Grid, Head, words_cell
from .layout import SIMULATED
from .page import render_page

LEVELS = {"alarm": "alarm", "note": "warning"}
"""Verdict -> how it is set off; others are neither bad nor to be thought of."""


@dataclass(frozen=True)
class Part:
    """A judgement as the page shows it; `grid` holds its figures."""

    name: str
    verdict: str
    sentence: str
    advice: str
    level: str
    grid: Grid | None


def render_judgements(
    title: str, judgements: Iterable[Mapping[str, Any]], *, warnings: Iterable[str], simulated: bool
) -> str:
    """The page as text.

    judgements : fields of :class:`harness.judging.verdict.Judgement`, in the order in which they are shown.
    warnings : what was said while the data were read.
    """
    return render_page(
        "doctor.html",
        title=title,
        simulated=SIMULATED if simulated else "",
        parts=[_part(judgement) for judgement in judgements],
        warnings=list(warnings),
    )


def _part(judgement: Mapping[str, Any]) -> Part:
    name, verdict = judgement["name"], str(judgement["verdict"])
    lines = tuple((what, "", (words_cell(value),)) for what, value in judgement["figures"])
    grid = Grid(name.replace(" ", "-"), f"Figures of: {name}", "figure", (Head("value"),), (Body("", lines),))
    return Part(
        name,
        verdict,
        judgement["sentence"],
        judgement["advice"],
        LEVELS.get(verdict, "info"),
        grid if lines else None,
    )
