"""``harness experiment``: a suite of runs, resumed where it stopped, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError, suggest
from ..settings import EXECUTORS
from .paths import UserPath
from .run import STORE_OPTION
from .tables import say

if TYPE_CHECKING:
    from ..run.cells import CellResult
    from ..run.suites import Suite

EVERY = "all"


@click.command()
@click.argument("name", required=False)
@click.option("--smoke", is_flag=True, help="a small trial of the suite, within minutes")
@click.option("--plan", "only_plan", is_flag=True, help="list the cells and compute nothing")
@click.option("--benchmark", help="another benchmark than the suite's, such as nsd-mindeye2")
@click.option("--subjects", help="instead of the suite's, by name or number, such as 1,2,5,7")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="a parameter of the benchmark (benchmark.KEY), or what sbatch is asked for (run.slurm.KEY)",
)
@click.option(
    "--device", help="cpu, cuda, cuda:N or mps; of workers on cuda each has one GPU [the suite's, or cpu]"
)
@click.option("--workers", type=click.IntRange(min=1), default=1, help="cells at a time [1]")
@click.option(
    "--executor", type=click.Choice(EXECUTORS), help="of cells [processes where there are several workers]"
)
@click.option("--out", type=UserPath(), default=Path("runs"), help="folder of runs [runs]")
@STORE_OPTION
@click.option("-v", "--verbose", count=True, help="say what happens, with tracebacks")
def experiment(name: str | None, only_plan: bool, verbose: int, **given: Any) -> None:
    """Run a suite of experiments and print its table.

    NAME is a suite that comes with the harness, 'all' of them, or a .yaml file; without it, the suites are
    listed.  What is finished is kept: the same command again goes on where it stopped.
    """
    from ..run.cells import cells
    from ..run.suites import read_suite, suite_names
    from .progress import set_up_logging
    from .suite_tables import TABLES
    from .summary import console

    if name is None:
        for suite_name in suite_names():
            click.echo(f"{suite_name}: {read_suite(suite_name).title}")
        return
    given["values"] = _assigned(given.pop("assignments"))
    suites = [_asked(each, given) for each in (suite_names() if name == EVERY else [name])]
    for suite in suites:
        if suite.table not in TABLES:
            raise ConfigError(suggest(suite.table, TABLES, what="table of a suite"))
    if only_plan:
        for suite in suites:
            for cell in cells(suite, given["out"] / suite.name):
                click.echo(f"{suite.name}: {cell.name}" if name == EVERY else cell.name)
        return
    errors = console(errors=True)
    set_up_logging(verbose, errors)
    results = _carried_out(suites, given)
    failed = [result for result in results if result.run is None]
    if failed:
        raise ConfigError(
            f"{len(failed)} of {len(results)} cells failed ({failed[0].cell.name}: {failed[0].problem}); "
            "mend them and type the same command again: only they are computed"
        )


def _asked(name: str, given: dict[str, Any]) -> Suite:
    """The suite called `name`, on the benchmark that was asked for."""
    from ..run.cells import benchmark_is_measured
    from ..run.suites import read_suite

    benchmark, values = given["benchmark"], given["values"]["benchmark"]
    measured = benchmark is not None and benchmark_is_measured(benchmark)
    suite = read_suite(name, smoke=given["smoke"], measured=measured)
    if benchmark is not None:
        suite = suite.on(benchmark, values)
    elif values:
        suite = suite.on(suite.benchmark, {**suite.benchmark_params, **values})
    if given["subjects"]:
        subjects = tuple(filter(None, map(str.strip, given["subjects"].split(","))))
        suite = replace(suite, subjects=subjects)
    if given["device"]:
        suite = replace(suite, run={**suite.run, "device": given["device"]})
    return suite


def _assigned(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What ``--set`` gives, by section: parameters of the benchmark, and under ``run`` those of SLURM."""
    from ..settings import read_request

    for text in assignments:
        if not text.startswith(("benchmark.", "run.slurm.")):
            raise ConfigError(
                f"--set {text}: a suite says all but its benchmark and what sbatch is asked for; expected "
                "benchmark.KEY=VALUE or run.slurm.KEY=VALUE"
            )
    return {section: dict(of) for section, of in read_request(None, assignments, plugins={}).values.items()}


def _carried_out(suites: list[Suite], given: dict[str, Any]) -> list[CellResult]:
    """The cells of all suites, computed, and the table of each printed and written."""
    from ..places import store_folder
    from ..run.cells import carry_out
    from ..settings import SlurmSettings, resolve_params
    from ..storage.opening import open_executor
    from ..storage.store import Store
    from .progress import Bars
    from .suite_tables import show
    from .summary import console

    errors = console(errors=True)

    def told(suite: Suite, result: CellResult, computed: bool) -> None:
        state = f"failed: {result.problem}" if result.problem else "computed" if computed else "is there"
        where = f"{suite.name}: " if len(suites) > 1 else ""
        say(errors, f"{where}{result.cell.name}: {state}")

    workers, store = given["workers"], Store(store_folder(given["store"]))
    name = given["executor"] or ("processes" if workers > 1 else "inline")
    asked = suites[0].name if len(suites) == 1 else EVERY
    devices = [str(suite.run["device"]) for suite in suites if "device" in suite.run]
    asked_of_slurm = given["values"]["run"].get("slurm", {})
    executor = open_executor(
        name,
        workers=workers,
        device=devices[0] if devices else "cpu",
        root=store.root,
        run=asked,
        slurm=resolve_params(SlurmSettings, asked_of_slurm, section="run.slurm"),
    )
    try:
        return carry_out(
            suites,
            given["out"],
            store=store,
            reporter=lambda: Bars(errors),
            executor=executor,
            told=told,
            finished=lambda suite, results: show(suite, results, given["out"] / suite.name, console()),
        )
    finally:
        executor.close()
