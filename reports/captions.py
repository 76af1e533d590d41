"""Captions: what a decoder says of each image, beside what its captioner says of the true image.

Four figures per caption metric, as MindEye2 reports them (Scotti et al. 2024, section on captions):

* image against reference: the decoder's captioner on the true image, against the caption that the
  stimulus came with; what the captioner itself is worth (row ``generator-ceiling``, target ``stimulus``);
* brain against reference: the caption decoded from a row's responses, against that same reference;
* brain against image: against the captioner's words for the true image (target ``image``);
* relative: brain against image over image against reference, a ratio of means over the same images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.results import RunResult
from harness.statistics import ratio_of_means

from .grids import Body, Cell, Grid, Head
from .layout import MetricInfo, bracket, left_out, number, ordered_metrics, ordered_rows
from .tables import score_table
from .values import image_values, run_metrics

if TYPE_CHECKING:
    import pandas as pd

CEILING = "generator-ceiling"
"""The row whose captions are the decoder's own of the true images."""

FIGURES = {
    "image_reference": ("image vs reference", "the captioner on the true image"),
    "brain_reference": ("brain vs reference", "decoded, against the given caption"),
    "brain_image": ("brain vs image", "decoded, against the captioner's"),
    "relative": ("relative", "brain vs image / image vs reference"),
}
"""Column -> (heading, what it is); each also has ``_low`` and ``_high``."""

CAPTION_COLUMNS = ("row", "label", "group", "metric", "metric_label")
CAPTION_COLUMNS += tuple(f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high"))
CAPTION_COLUMNS += ("n", "missing")


def caption_metrics(run: RunResult) -> list[MetricInfo]:
    """Metrics of captions that the run scored, against whatever they were compared with."""
    scored = [m for target in ("image", "stimulus") for m in run_metrics(run, target)]
    return ordered_metrics(run, [metric.name for metric in scored if metric.compares_accounts])


def caption_table(run: RunResult) -> pd.DataFrame:
    """One line per caption metric and row that says something; the captioner itself is in each line.

    Means over images with 95 % intervals; ``relative`` is a ratio of means over the same images
    (:func:`harness.statistics.ratio_of_means`) and is NaN where there is nothing to divide by.
    ``n`` and ``missing`` count images of the row's own scores.

    Columns :data:`CAPTION_COLUMNS`; empty where the run has no captions.
    """
    import pandas as pd

    metrics = caption_metrics(run)
    names = [metric.name for metric in metrics]
    if not names:
        return pd.DataFrame(columns=list(CAPTION_COLUMNS))
    means = {target: _by_key(score_table(run, target, metrics=names)) for target in ("stimulus", "image")}
    values = {target: image_values(run, target) for target in means}
    rows = ordered_rows(run, (row for by_key in means.values() for row, _ in by_key if row != CEILING))
    lines = []
    for metric in metrics:
        captioner = means["stimulus"].get((CEILING, metric.name))
        for row in rows:
            key = (row.name, metric.name)
            reference, image = (means[target].get(key) for target in ("stimulus", "image"))
            own = image or reference
            if own is None:
                continue
            line = {"row": row.name, "label": row.label, "group": row.group}
            line |= {"metric": metric.name, "metric_label": metric.label}
            line |= _figure("image_reference", captioner)
            line |= _figure("brain_reference", reference) | _figure("brain_image", image)
            if captioner and image:
                x, y = values["image"][key], values["stimulus"][CEILING, metric.name]
                both = pd.concat([x, y], axis=1, keys=("x", "y"))
                ratio = ratio_of_means(both["x"].to_numpy(), both["y"].to_numpy())
                line |= dict(zip(("relative", "relative_low", "relative_high"), ratio))
            lines.append(line | {"n": own["n"], "missing": own["missing"]})
    return pd.DataFrame(lines, columns=list(CAPTION_COLUMNS))


def caption_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Rows by the four figures, one body per metric, from :func:`caption_table`."""
    if table.empty:
        return None
    notes = {row.name: row.note for row in ordered_rows(run, table["row"])}
    bodies = []
    for _, ours in table.groupby("metric", sort=False):
        lines = tuple(
            (line["label"], notes[line["row"]], tuple(_cell(line, name) for name in FIGURES))
            for line in ours.to_dict("records")
        )
        bodies.append(Body(ours["metric_label"].iloc[0], lines))
    heads = tuple(Head(*words) for words in FIGURES.values())
    caption = "Captions: mean over images [95 % interval over images]; relative is a ratio of means"
    return Grid("captions", caption, "row", heads, tuple(bodies))


def caption_cell(line: dict[str, Any], name: str) -> str:
    """The figure `name` of a line of :func:`caption_table` as text, ``""`` where there is none."""
    cell = _cell(line, name)
    return "" if cell is None else " ".join(filter(None, (cell.text, cell.detail, cell.note)))


def _cell(line: dict[str, Any], name: str) -> Cell | None:
    value = line[name]
    if value != value:  # NaN: the run has no such figure
        return None
    note = left_out(line["missing"]) if name.startswith("brain") else ""
    return Cell(value, number(value), bracket(line[f"{name}_low"], line[f"{name}_high"]), note)


def _figure(name: str, line: dict[str, Any] | None) -> dict[str, float]:
    return {} if line is None else {f"{name}{end}": line[key] for key, end in _ENDS.items()}


_ENDS = {"mean": "", "low": "_low", "high": "_high"}


def _by_key(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    return {(line["row"], line["metric"]): line for line in table.to_dict("records")}
