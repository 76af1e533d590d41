"""Tables of a run under the names by which ``harness export`` writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, DataError, suggest, visible
from harness.results import RunResult

from .captions import caption_table
from .curves import curve_table
from .draws import draw_table
from .functional import contrast_table
from .layout import bracket, number
from .lesions import lesion_table
from .nearness import nearness_table
from .predicted import predicted_table
from .priors import prior_table
from .tables import agreement_table, encoding_table, paired_table, roi_table, score_table
from .values import stored

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Export:
    """A table that can be written: what it holds, how it is made of a run, and what a run needs for it."""

    text: str
    make: Callable[[RunResult], pd.DataFrame]
    needs: str


_IMAGES = "a decoder, and metrics of its images such as pixcorr"
_RESPONSES = "an encoder, and metrics of its responses such as voxel-r"
_BOTH = "an encoder and a decoder"
_REGIONS = "ROIs or cortical groups of the voxels"

EXPORTS: Mapping[str, Export] = {
    "summary": Export("means of every row and image metric with 95 % intervals", score_table, _IMAGES),
    "predicted": Export(
        "predicted beside measured reconstructions on the same images", predicted_table, _BOTH
    ),
    "paired": Export("differences between rows on the same images, p and Holm's p", paired_table, _IMAGES),
    "encoding": Export("encoding scores of every row", encoding_table, _RESPONSES),
    "rois": Export("voxel r and noise ceiling by region", roi_table, _RESPONSES),
    "contrasts": Export(
        "category contrasts of category-selective ROIs",
        contrast_table,
        "test images with a category, and ROIs that prefer one",
    ),
    "agreement": Export("agreement with the measured reconstructions", agreement_table, _BOTH),
    "nearness": Export(
        "scores of test images near to the training set and far from it",
        nearness_table,
        "a decoder, at least 20 test images and a metric such as clip-nearest-train@tiny",
    ),
    "captions": Export(
        "the four figures of every caption metric",
        caption_table,
        "a decoder that captions, or --metrics caption-…",
    ),
    "bottleneck": Export(
        "scores by number of dimensions", curve_table, "for example --set run.bottleneck=[0,8,64]"
    ),
    "lesions": Export(
        "scores with one area kept, dropped or shuffled, against the intact row",
        lesion_table,
        "--lesions, or --lesions V1,V2 for areas by name",
    ),
    "decoder": Export(
        "scores from no brain to the generator ceiling, and where fMRI lies between", prior_table, _IMAGES
    ),
    "draws": Export(
        "spread of scores over the draws of an image, beside that over images",
        draw_table,
        "a stochastic decoder or encoder and for example --set run.samples=4",
    ),
    "scores": Export(
        "every image score: row, target, image, trial, sample", lambda run: stored(run, "scores"), _IMAGES
    ),
    "voxels": Export("every voxel score", lambda run: stored(run, "voxel_scores"), _RESPONSES),
    "regions": Export(
        "every encoding score by region",
        lambda run: stored(run, "region_scores"),
        f"{_RESPONSES}; {_REGIONS}",
    ),
    "sets": Export("scores of the whole test set", lambda run: stored(run, "set_scores"), _RESPONSES),
}
"""Name -> table; the last four are those of the run's folder, the others what its report shows."""


def export_table(run: RunResult, name: str, *, target: str | None = None) -> pd.DataFrame:
    """The table `name` of :data:`EXPORTS`.

    target : for ``summary`` and ``scores``, what the images were scored against (default for
        ``summary`` the stimuli, for ``scores`` all).

    Raises
    ------
    ConfigError
        An unknown name, a target that the run has no scores of, or one for another table.
    DataError
        The run has nothing for it; the message says what a run needs to have.
    """
    if name not in EXPORTS:
        raise ConfigError(suggest(name, EXPORTS, what="table"))
    if target is not None:
        return _against(run, name, target)
    table = EXPORTS[name].make(run)
    if table.empty:
        raise DataError(
            f"{run.folder} has nothing for the table '{name}' ({EXPORTS[name].text}); "
            f"it comes with {EXPORTS[name].needs}"
        )
    return table


_FORMULA = tuple("=+-@\t\r")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?( \[[-+\d., e]*\])?")


def csv_content(table: pd.DataFrame) -> bytes:
    """`table` as CSV in UTF-8 whose cells no spreadsheet takes for formulas.

    Text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return (an id may) has an apostrophe
    put before it, as OWASP's "CSV Injection" advises; a number with its interval stays.  Parquet holds the
    text as it is.
    """
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    safe = table.assign(**{name: table[name].map(_no_formula) for name in texts})
    return safe.rename(columns=_no_formula).to_csv(index=False).encode("utf-8", "backslashreplace")


def _no_formula(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


_MARKUP = re.compile(r"[\\|<>&*_`~$]|\[(?=[^\d\-\]])|!(?=\[)")
"""What Markdown, or HTML in it, would take for its own; the bracket of an interval is none of it."""


def markdown_text(text: str) -> str:
    """`text` as Markdown shows it: on one line, and nothing in it is markup."""
    return _MARKUP.sub(lambda sign: f"\\{sign[0]}", visible(" ".join(text.splitlines())))


def markdown_content(table: pd.DataFrame) -> bytes:
    """`table` as Markdown in UTF-8, every row of it one line of as many cells: an id may hold anything."""
    safe = _on_one_line(table, markdown_text).rename(columns=markdown_text)
    texts = [k for k, kind in enumerate(safe.dtypes) if kind.kind not in "iufb"]  # "0010" is no number
    return f"{safe.to_markdown(index=False, disable_numparse=texts)}\n".encode("utf-8", "backslashreplace")


def latex_content(table: pd.DataFrame) -> bytes:
    """`table` as LaTeX in UTF-8, with what is special to it escaped."""
    return _on_one_line(table, str).to_latex(index=False, escape=True).encode("utf-8", "backslashreplace")


def _on_one_line(table: pd.DataFrame, escaped: Callable[[str], str]) -> pd.DataFrame:
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    return table.assign(
        **{
            name: table[name].map(
                lambda cell: escaped(visible(" ".join(cell.splitlines()))) if isinstance(cell, str) else cell
            )
            for name in texts
        }
    )


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """One line per row and one column per metric, as text "mean [low, high]", for a paper.

    Raises :class:`ConfigError` for a table without means of rows and metrics.
    """
    wanted = {"row", "label", "metric", "metric_label", "mean", "low", "high"}
    if lacking := sorted(wanted - set(table.columns)):
        raise ConfigError(
            f"this table has no column '{lacking[0]}', so it cannot be laid out wide; "
            "--wide goes with --table summary, encoding, agreement or bottleneck"
        )
    texts = [f"{number(line.mean)} {bracket(line.low, line.high)}".rstrip() for line in table.itertuples()]
    # By label, with the name behind it where two have one label.
    keys = {kind: _unique(table, *names) for kind, names in _LABELS.items()}
    frame = table.assign(text=texts, **keys)
    rows, metrics = (list(dict.fromkeys(frame[kind])) for kind in keys)
    wide = frame.pivot(index="_row", columns="_metric", values="text").reindex(rows)[metrics]
    return wide.fillna("").rename_axis(index="row", columns=None).reset_index()


_LABELS = {"_row": ("row", "label"), "_metric": ("metric", "metric_label")}


def _unique(table: pd.DataFrame, name: str, label: str) -> list[str]:
    names = table.groupby(label)[name].nunique()
    return [f"{b} ({a})" if names[b] > 1 else b for a, b in zip(table[name], table[label])]


def _against(run: RunResult, name: str, target: str) -> pd.DataFrame:
    if name not in ("summary", "scores"):
        raise ConfigError(
            f"--target goes with the tables summary and scores, not with '{name}'; leave it out"
        )
    scores = stored(run, "scores")
    targets = sorted(set(scores["target"]))
    if target not in targets:
        raise ConfigError(suggest(target, targets, what="target in this run"))
    return score_table(run, target) if name == "summary" else scores[scores["target"] == target]
