"""``harness experiment``: a suite of runs, resumed where it stopped, and its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError, suggest
from .tables import print_table, say

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from ..run.suites import CellResult, Suite


@click.command()
@click.argument("name", required=False)
@click.option("--smoke", is_flag=True, help="a small trial of the suite, within minutes")
@click.option("--plan", "only_plan", is_flag=True, help="list the cells and compute nothing")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), help="folder of runs [runs]")
@click.option("--store", type=click.Path(path_type=Path), help="artifacts [$HARNESS_STORE or ~/.cache]")
@click.option("-v", "--verbose", count=True, help="say what happens, with tracebacks")
def experiment(
    name: str | None, smoke: bool, only_plan: bool, out: Path, store: Path | None, verbose: int
) -> None:
    """Run a suite of experiments and print its table.

    NAME is a suite that comes with the harness, or a .yaml file; without it, the suites are listed.  What is
    finished is kept: the same command again goes on where it stopped.
    """
    from ..places import store_folder
    from ..run.suites import carry_out, cells, read_suite, suite_names
    from ..storage.store import Store
    from .progress import Bars, set_up_logging
    from .summary import console

    if name is None:
        for known in suite_names():
            click.echo(f"{known}: {read_suite(known).title}")
        return
    suite = read_suite(name, smoke=smoke)
    if suite.table not in _TABLES:
        raise ConfigError(suggest(suite.table, _TABLES, what="table of a suite"))
    folder = out / suite.name
    if only_plan:
        for cell in cells(suite, folder):
            click.echo(cell.name)
        return
    errors = console(errors=True)
    set_up_logging(verbose, errors)

    def told(result: CellResult, computed: bool) -> None:
        state = f"failed: {result.problem}" if result.problem else "computed" if computed else "is there"
        errors.print(f"{result.cell.name}: {state}", soft_wrap=True)

    results = carry_out(
        suite, folder, store=Store(store_folder(store)), reporter=lambda: Bars(errors), told=told
    )
    show(suite, results, folder, console())
    failed = [result for result in results if result.run is None]
    if failed:
        raise ConfigError(
            f"{len(failed)} of {len(results)} cells failed ({failed[0].cell.name}: {failed[0].problem}); "
            "mend them and type the same command again: only they are computed"
        )


def show(suite: Suite, results: list[CellResult], folder: Path, console: Console) -> None:
    """Print the suite's table and write it as CSV into `folder`."""
    from harness.reports.layout import SIMULATED, is_simulated
    from harness.reports.suites import SuiteRun

    runs = [
        SuiteRun(result.cell.encoder.label, result.cell.decoder.label, result.cell.seed, result.run)
        for result in results
        if result.run is not None
    ]
    say(console, f"{suite.title} ({len(runs)} of {len(results)} cells)", "bold")
    if not runs:
        return
    if any(is_simulated(one.run) for one in runs):
        say(console, f"*** {SIMULATED} ***", "bold magenta")
    for name, table in _TABLES[suite.table](runs, console).items():
        file = folder / f"{name}.csv"
        flat = table.map(lambda value: "; ".join(map(str, value)) if isinstance(value, tuple) else value)
        file.write_text(flat.to_csv(index=False))
        say(console, f"table written: {file}", "dim")
    for line in suite.published:
        say(
            console,
            f"published: {line['what']}: {line['value']} ({line['source']}). Differs: {line['differs']}",
        )


def _matrix(runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
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


def _which_score(runs: list[Any], console: Console) -> dict[str, pd.DataFrame]:
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


_TABLES = {"matrix": _matrix, "which-score": _which_score}
