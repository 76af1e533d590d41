"""``harness run``, ``plan`` and ``score``: one plan, carried out, shown, or without an encoder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from ..places import expanded
from .against import against_option
from .paths import UserPath

if TYPE_CHECKING:
    from ..run.outcome import Outcome
    from ..run.plan import Plan
    from ..storage.store import Store
    from .progress import Bars

_RUN_OPTIONS = {  # option -> run setting
    "seed": int,
    "samples": int,
    "limit": int,
    "device": str,
    "executor": str,
    "workers": int,
    "shard_size": int,
    "adapter": str,
    "selection": str,
    "protocol": str,
}

_HELP = {
    "seed": "seed of every draw",
    "samples": "encoder and decoder draws per image, for those that are stochastic",
    "limit": "only N test images: a named subset, the same for every model",
    "device": "cpu, cuda, cuda:N or mps",
    "executor": "inline, processes, slurm or ray [processes where there is more than one worker]",
    "workers": "worker processes; no number depends on it [$HARNESS_WORKERS, or one for each GPU, or 2]",
    "shard_size": "images per task",
    "adapter": "none, match-std or add-trial-noise",
    "selection": "among a decoder's candidates: first, predicted-embedding or gt-selected",
    "protocol": "score as a paper does: mindeye2, brain-diffuser, synbrain or strict",
}


_TRAIN_SUBJECTS = (
    "subjects that the encoder is fitted on together, by name or number; where the scored one is none of "
    "them, the encoder is then adapted to it [the scored subject]"
)

_ROWS_HELP = (
    "comma-separated rows to decode beside measured and predicted, such as zero,oracle; each costs as much "
    "as these [all that apply]"
)

_LESIONS = (
    "areas (comma-separated ROIs or cortical groups; groups or rois for all of them) whose voxels are kept, "
    "dropped and shuffled, the decoder left as it is; without names: groups"
)

_MISSING = (
    "score the test images that folder:, file: or captions: has, leave the others out of every row, and "
    "say so"
)


_SECTIONS = "benchmark, encoder, decoder, run, plugins"

DATA_OPTIONS = (
    click.option("--benchmark", help="a benchmark's name [embedded]"),
    click.option("--subject", help="the scored subject of the benchmark, by name or number [its first]"),
    click.option("--config", type=UserPath(), help="YAML with sections " + _SECTIONS),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="one parameter; repeatable",
    ),
)
"""What every command says of the data that it takes."""

STORE_OPTION = click.option("--store", type=UserPath(), help="artifacts [$HARNESS_STORE or ~/.cache]")


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that every command with a plan has."""
    options = [
        *DATA_OPTIONS,
        click.option("--metrics", help="comma-separated [all whose weights are at hand]"),
        *(
            click.option(f"--{name.replace('_', '-')}", name, type=kind, help=_HELP[name])
            for name, kind in _RUN_OPTIONS.items()
        ),
        click.option("--rows", help=_ROWS_HELP),
        click.option("--lesions", is_flag=False, flag_value="groups", metavar="[A,B]", help=_LESIONS),
        click.option("--allow-missing", is_flag=True, help=_MISSING),
        STORE_OPTION,
        click.option("-v", "--verbose", count=True, help="say what happens, with tracebacks"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


TABLES_HELP = (
    "print these tables too: all, or scores,captions,encoding … ('harness report RUN' prints them later)"
)


def chosen_tables(context: click.Context, option: click.Parameter, given: str | None) -> tuple[str, ...]:
    """``--tables``, read before any work is done for it."""
    if given is None:
        return ()
    from harness.reports.terminal import chosen_tables

    return chosen_tables(given)


SHAREABLE_HELP = (
    "write the folder shareable/ of the run: its report and gallery without stimuli and measured data, for "
    "data that may not be shown"
)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of commands that write a run folder."""
    for option in reversed(
        [
            click.option("--out", type=UserPath(), default=Path("runs"), help="folder of runs [runs]"),
            click.option("--tables", callback=chosen_tables, help=TABLES_HELP),
            against_option,
            click.option("--no-report", is_flag=True, help="write tables only"),
            click.option("--shareable", is_flag=True, help=SHAREABLE_HELP),
        ]
    ):
        command = option(command)
    return command


@click.command()
@click.option("--encoder", help="a name, path/file.py:Class, or file:predictions.npz")
@click.option("--train-subjects", metavar="A,B", help=_TRAIN_SUBJECTS)
@click.option(
    "--decoder", help="a name, path/file.py:Class, folder:recons/, file:recons.pt or captions:captions.json"
)
@common_options
@output_options
def run(encoder: str | None, decoder: str | None, **given: Any) -> None:
    """Encode, decode, score and report one subject.

    Everything finished is kept: the same command again goes on where it stopped.
    """
    carry_out(plan_of_run(encoder=encoder, decoder=decoder, **given), given)


@click.command()
@click.argument("path")
@common_options
@output_options
def score(path: str, **given: Any) -> None:
    """Score finished reconstructions or captions with their controls.

    PATH is a folder of images named by id, a .npz, .npy, .h5, .mat or .pt of images and ids, or a .json of
    captions by id.
    """
    carry_out(plan_of_score(path, **given), given)


@click.command()
@click.option("--encoder", help="a name, path/file.py:Class, or file:predictions.npz")
@click.option("--train-subjects", metavar="A,B", help=_TRAIN_SUBJECTS)
@click.option(
    "--decoder", help="a name, path/file.py:Class, folder:recons/, file:recons.pt or captions:captions.json"
)
@common_options
@output_options
def plan(encoder: str | None, decoder: str | None, **given: Any) -> None:
    """Say what a run would do and what is there already, without computing anything.

    It takes every word that harness run takes; those of what is written (--out, --tables, --against,
    --no-report, --shareable) change nothing here.  Where a file that it would read is not there, the plan
    says so, and the command ends with an error.
    """
    from ..places import store_folder
    from ..storage.store import Store
    from .progress import set_up_logging
    from .summary import console, print_plan

    set_up_logging(given["verbose"], console(errors=True))
    planned = _plan(given, encoder=encoder, decoder=decoder, need_decoder=False)
    print_plan(planned, Store(store_folder(given["store"])), console(), every_parameter=True)
    planned.require_files()


def plan_of_run(*, encoder: str | None, decoder: str | None, **given: Any) -> Plan:
    """The plan that the options of ``harness run`` ask for."""
    return _plan(given, encoder=encoder, decoder=decoder, need_decoder=True)


def plan_of_score(path: str, **given: Any) -> Plan:
    """The plan that ``harness score PATH`` asks for."""
    from ..stages.given_captions import SUFFIX
    from ..stages.reconstructions import check_given

    check_given(path)
    form = "file" if expanded(path).is_file() else "folder"
    form = "captions" if form == "file" and path.lower().endswith(SUFFIX) else form
    return _plan(given, encoder=None, decoder=f"{form}:{path}", need_decoder=True)


def carry_out(planned: Plan, given: dict[str, Any]) -> None:
    """Run a plan, write its folder and its report, and print the final table."""
    from ..places import store_folder
    from ..results import RunResult
    from ..run.record import command_line, is_finished
    from ..storage.store import Store
    from .against import print_against
    from .progress import Bars, set_up_logging
    from .summary import console, print_closing, print_plan

    errors = console(errors=True)
    set_up_logging(given["verbose"], errors)
    store = Store(store_folder(given["store"]))
    # Counting a decoder of full size takes seconds, which a run that is there need not spend.
    ahead = not is_finished(planned, given["out"] / planned.name)
    print_plan(planned, store, errors, costs=ahead)
    planned.require_files()
    outcome, folder, changed = compute(planned, given, store, bars=Bars(errors), command=command_line())
    print_closing(RunResult.open(folder), store, console(), changed=changed, tables=given["tables"])
    if given["against"]:
        print_against(RunResult.open(folder), given["against"], console())
    refuse_failures(outcome)


def compute(
    planned: Plan, given: dict[str, Any], store: Store, *, bars: Bars, command: Sequence[str]
) -> tuple[Outcome, Path, bool]:
    """Run a plan and write its folder and report: what came of it, the folder, whether its tables changed.

    command : what the record says was typed.
    """
    from ..run.pipeline import run_plan
    from ..run.record import write_run
    from ..storage.disk import explained
    from .summary import refresh_report

    with explained(store.root):
        outcome = run_plan(planned, store, reporter=bars)
    folder = given["out"] / planned.name
    with bars.stage("write tables"):
        changed = write_run(outcome, folder, command=command, store=store)
    if not given["no_report"]:
        with bars.stage("draw report"):
            refresh_report(folder, changed=changed, shareable=given["shareable"])
    return outcome, folder, changed


def refuse_failures(outcome: Outcome) -> None:
    """Raise where metrics failed, after everything else was kept."""
    if outcome.scored.failures:
        names = ", ".join(failure.metric for failure in outcome.scored.failures)
        raise ConfigError(
            f"{len(outcome.scored.failures)} metrics failed ({names}); every other score is kept. "
            "Mend them and type the same command again: only they are scored"
        )


def _plan(given: dict[str, Any], *, encoder: str | None, decoder: str | None, need_decoder: bool) -> Plan:
    from ..run.plan import make_plan
    from ..settings import read_request

    assignments = [*given["assignments"], *_as_assignments(given)]
    names = {
        "benchmark": given["benchmark"],
        "subject": given["subject"],
        "encoder": encoder,
        "decoder": decoder,
        "train_subjects": given.get("train_subjects"),
    }
    return make_plan(read_request(given["config"], assignments, plugins=names), need_decoder=need_decoder)


def _as_assignments(given: dict[str, Any]) -> Sequence[str]:
    assignments = [f"run.{name}={given[name]}" for name in _RUN_OPTIONS if given[name] is not None]
    if given["allow_missing"]:
        assignments.append("run.allow_missing=true")
    if given["rows"]:
        assignments.append(f"run.rows=[{given['rows']}]")
    if given["lesions"]:
        areas = [name.strip() for name in given["lesions"].split(",") if name.strip()]
        assignments.append(f"run.lesions={json.dumps(areas)}")
    if given["metrics"]:
        assignments.append(f"run.metrics=[{given['metrics']}]")
    return assignments
