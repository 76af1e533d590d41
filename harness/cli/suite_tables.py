"""Tables of suites on the terminal and as CSV, with what is printed in papers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tables import print_table, say

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from ..run.cells import CellResult
    from ..run.suites import Suite


def show(suite: Suite, results: list[CellResult], folder: Path, console: Console) -> None:
    """Print the suite's table and write it as CSV into `folder`; then what failed, lacks and differs."""
    from harness.reports.exports import csv_content
    from harness.reports.layout import SIMULATED, is_simulated
    from harness.reports.suites import SuiteRun

    runs = [
        SuiteRun(result.cell.encoder.label, result.cell.decoder.label, result.cell.seed, result.run)
        for result in results
        if result.run is not None
    ]
    say(console, f"{suite.title} ({len(runs)} of {len(results)} cells)", "bold")
    if runs and any(is_simulated(suite_run.run) for suite_run in runs):
        say(console, f"*** {SIMULATED} ***", "bold magenta")
    for name, table in TABLES[suite.table](suite, runs, console).items() if runs else ():
        file = folder / f"{name}.csv"
        flat = table.map(lambda value: "; ".join(map(str, value)) if isinstance(value, tuple) else value)
        file.write_bytes(csv_content(flat))
        say(console, f"table written: {file}", "dim")
    for result in results:
        if result.run is None:
            say(console, f"failed: {result.cell.name}: {result.problem}")
    for line in suite.absent:
        say(console, f"not in this table: {line['what']}: {line['why']}")
    for text in suite.differs:
        say(console, f"differs: {text}")
    for line in suite.published:
        say(
            console,
            f"published: {line['what']}: {line['value']} ({line['source']}). Differs: {line['differs']}",
        )


def _matrix(suite: Suite, runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
    from harness.reports.layout import bracket, number
    from harness.reports.suites import matrix_tables

    tables = matrix_tables(runs)
    lines = [
        (
            f"{line.metric_label} ({line.target})",
            line.decoder,
            ", ".join(f"{name} {number(mean)}" for name, mean in zip(line.order, line.means)),
        )
        for line in tables["orders"].itertuples()
    ]
    say(console, "encoders under each decoder, the best first; oracle and measured are no encoders", "bold")
    print_table(console, ("score (against)", "decoder", "order"), lines)
    say(console, "Kendall's tau of the orders under two decoders [95 % interval over images]", "bold")
    taus = [
        (
            f"{line.metric_label} ({line.target})",
            f"{line.decoder_a}, {line.decoder_b}",
            f"{number(line.tau, digits=2)} {bracket(line.low, line.high)}".rstrip(),
            str(line.encoders),
        )
        for line in tables["taus"].itertuples()
    ]
    print_table(console, ("score (against)", "decoders", "tau", "systems"), taus)
    return tables


def _which_score(suite: Suite, runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
    from harness.reports.layout import bracket, number
    from harness.reports.suites import true_order, which_score_table

    table = which_score_table(runs)
    truth = ", ".join(f"{name} {number(value)}" for name, value in true_order(runs))
    say(console, f"true order, by correlation with the noise-free truth: {truth}")
    say(console, "does a score put the encoders in that order? tau [95 % interval over images]", "bold")
    lines = [
        (
            line.decoder,
            f"{line.metric_label} ({line.target})",
            f"{number(line.tau, digits=2)} {bracket(line.low, line.high)}".rstrip(),
            line.recovers,
            line.first,
            f"{line.cheat_place} of {line.encoders}" if line.cheat_place else "–",
        )
        for line in table.itertuples()
    ]
    heads = ("decoder", "score (against)", "tau", "recovers", "likes best", "place of the decoder's inverse")
    print_table(console, heads, lines)
    say(console, "recovers: the interval is above 0.5, three pairs of four in order", "dim")
    return {"scores": table}


def _beside(suite: Suite, runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
    from harness.reports.beside import beside_table, why_they_differ
    from harness.reports.layout import number

    printed = _printed(suite)
    table = beside_table(runs, suite.columns, printed, row=suite.row)
    shown = [column for column in suite.columns if (table["column"] == column).any()]
    lines = []
    for (encoder, decoder), part in table.groupby(["encoder", "decoder"], sort=False):
        of = {line.column: line for line in part.itertuples()}
        cells = []
        for column in shown:
            line = of.get(column)
            ours = "" if line is None else number(line.mean)
            theirs = "" if line is None or not line.published else f" ({line.published_value:g})"
            cells.append(f"{ours}{theirs}")
        lines.append((encoder, decoder, *cells))
    differ = [len({line[place] for line in lines}) > 1 for place in (0, 1)]
    kept = [place for place in (0, 1) if differ[place]] or [0]
    heads = tuple(("encoder", "decoder")[place] for place in kept)
    say(console, "computed here (printed in the paper)", "bold")
    rows = [(*(line[place] for place in kept), *line[2:]) for line in lines]
    print_table(console, (*heads, *shown), rows, grouped=len(kept) > 1)
    beside = {f"{suite_run.encoder} × {suite_run.decoder}" for suite_run in runs} & printed.keys()
    for sentence, systems in why_they_differ(runs, printed).items():
        named = [" × ".join(name.split(" × ")[place] for place in kept) for name in systems]
        where = "" if len(systems) == len(beside) else f" [{_named(named)}]"
        say(console, f"differs from print: {sentence}{where}")
    return {"beside": table}


def _equal_terms(suite: Suite, runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
    import math

    from harness.reports.equal_terms import HEADLINE, equal_terms_table, unequal_terms
    from harness.reports.layout import bracket, number

    table = equal_terms_table(runs, suite.columns)
    shown = [column for column in suite.columns if table[column].notna().any()]
    encoders, controls = (table[table["kind"] == kind] for kind in ("encoder", "control"))
    lines = []
    for line in [*encoders.to_dict("records"), *controls.to_dict("records")]:
        is_encoder = line["kind"] == "encoder"
        interval = bracket(line["low"], line["high"])
        scores = [
            f"{number(line[column])} {interval if column == HEADLINE else ''}".rstrip() for column in shown
        ]
        costs = [
            f"{line[name]:{form}}" if is_encoder and math.isfinite(line[name]) else ""
            for name, form in (
                *(("parameters", ",.0f"), ("fit_cpu_seconds", ",.1f")),
                ("predict_cpu_seconds", ",.2f"),
            )
        ]
        shared = [line["group"], *costs, line["from_store"]] if is_encoder else [""] * 5
        lines.append(("encoder" if is_encoder else "control", line["encoder"], *scores, *shared))
    heads = [f"{column} [95 %]" if column == HEADLINE else column for column in shown]
    costs_heads = ("parameters", "fit, CPU s", "predict, CPU s", "from the store")
    print_table(console, ("", "", *heads, "group", *costs_heads), lines)
    say(
        console,
        "group: encoders that share a letter are not told apart in mean voxel r (Holm over all pairs), a is "
        "the best. CPU s: processor seconds when it was made, of the fit, and of predicting all test images. "
        "Blank: the version that made it did not keep it. From the store: artifacts that were there, made by "
        "other runs",
        "dim",
    )
    unequal = unequal_terms(runs)
    verdict = "NOT on equal terms:" if unequal else "on equal terms: one split, one set of seeds"
    say(console, verdict, "bold")
    for sentence in unequal:
        say(console, sentence)
    for name in encoders[encoders["below_training_mean"].astype(bool)]["encoder"]:
        say(console, f"{name}: its squared error is not below that of the mean training response")
    return {"equal-terms": table}


def _against_controls(suite: Suite, runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
    from harness.reports.against_controls import against_controls_table, not_above
    from harness.reports.layout import bracket, number

    table = against_controls_table(runs, suite.columns)
    lines = [
        (
            line.system,
            line.metric_label + ("" if line.higher_is_better else " ↓"),
            f"{number(line.mean)} {bracket(line.low, line.high)}".rstrip(),
            f"{number(line.gain)} {bracket(line.gain_low, line.gain_high)}".rstrip(),
            *(number(value) for value in (line.train_mean, line.nearest_train, line.truth, line.ceiling)),
            number(line.codes),
        )
        for line in table.itertuples()
    ]
    heads = ("score [95 %]", "minus re-paired [95 %]", "training mean", "nearest image", "truth", "ceiling")
    coded = table["codes"].notna().any()
    lines = lines if coded else [line[:-1] for line in lines]
    print_table(console, ("decoder", "", *heads, *(["codes"] if coded else [])), lines, grouped=True)
    say(
        console,
        "re-paired: the same pictures with other images. Training mean, truth: what the decoder makes of the "
        "mean training response, of noise-free responses. Nearest image: of training, by its response. "
        "Ceiling: what its generator makes of the true image's embedding"
        + ("; codes: the true image by the codes in which it draws" if coded else ""),
        "dim",
    )
    for sentence in not_above(table):
        say(console, sentence)
    return {"against-controls": table}


def _spread(suite: Suite, runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
    from harness.reports.beside import spread_table
    from harness.reports.layout import number

    table = spread_table(runs)
    lines = [
        (
            line.decoder,
            line.metric_label,
            number(line.mean),
            number(line.between_images),
            number(line.between_samples),
        )
        for line in table.itertuples()
    ]
    say(console, "how far draws of one image lie apart, and images: SD of scores", "bold")
    print_table(console, ("decoder", "score", "mean", "SD of images", "SD of draws of one image"), lines)
    return {"spread": table}


def _printed(suite: Suite) -> dict[str, Any]:
    """``ENCODER × DECODER`` -> the printed line that the encoder's, or else the decoder's, variant names."""
    from ..run.suites import published_lines

    lines = published_lines()
    pairs = [(encoder, decoder) for encoder in suite.encoders for decoder in suite.decoders]
    return {
        f"{encoder.label} × {decoder.label}": lines[name]
        for encoder, decoder in pairs
        if (name := encoder.published or decoder.published)
    }


def _named(systems: Sequence[str]) -> str:
    shown = list(systems[:3])
    return ", ".join(shown) + (f" and {len(systems) - 3} more" if len(systems) > 3 else "")


TABLES = {
    "matrix": _matrix,
    "which-score": _which_score,
    "beside": _beside,
    "equal-terms": _equal_terms,
    "against-controls": _against_controls,
    "spread": _spread,
}
