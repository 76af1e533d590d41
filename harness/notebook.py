"""The commands as functions: the same words as keywords, tables as pandas frames, pictures inline.

`run` and `score` take every option of the command line as a keyword (``--train-subjects 1,2`` is
``train_subjects=[1, 2]``, ``--set encoder.folds=5`` is ``set={"encoder.folds": 5}``), so that there is one
reader of what is asked for; the folder that they write is the one that the command would have written.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, suggest
from .results import RunResult

if TYPE_CHECKING:
    import click
    import pandas as pd

    from harness.reports.comparison import Comparison
    from harness.reports.inline import Pictures
    from harness.reports.leaderboard import Leaderboard

    Given = str | Path | RunResult

TERMINAL_ONLY = ("tables", "against", "verbose", "help")
"""Options that only say what the terminal prints."""

WIDTH = 110
"""Characters of a run's answer in a notebook."""


class Run(RunResult):
    """A finished run: its tables as frames, its pictures, its report; shown, it is its answer.

    `scores`, `voxel_scores`, `set_scores`, `region_scores` hold single values (see :mod:`harness.results`),
    `info` all of ``run.json``, `gallery` the images that the report shows.
    """

    def table(self, name: str = "summary", *, target: str | None = None) -> pd.DataFrame:
        """A table with means and intervals, by the names of ``harness export --help``.

        target : of ``summary`` and ``scores``: what images were scored against (``stimulus``, ``measured``).

        Raises
        ------
        ConfigError
            There is no such table or target.
        DataError
            The run has nothing for it; the message says what a run needs.
        """
        from harness.reports.exports import export_table

        return export_table(self, name, target=target)

    def show(
        self, rows: Collection[str] | None = None, *, images: int = 6, show_stimuli: bool = True
    ) -> Pictures:
        """Pictures of the run's gallery, a line for each row, shown inline by a notebook.

        rows : names such as ``stimulus``, ``measured``, ``predicted``; None for these.
        images : so many, in the gallery's order.

        Raises
        ------
        ConfigError
            The gallery has no such row.
        DataError
            The run has no pictures.
        """
        from harness.reports.inline import pictures

        return pictures(self, rows, images=images, show_stimuli=show_stimuli)

    def report(self, *, shareable: bool = False) -> Path:
        """Write ``report.html`` again, or a shareable one in a folder of its own, and say where it is."""
        from harness.reports.html import write_report

        return write_report(self.folder, shareable=shareable)

    def __str__(self) -> str:
        from harness.reports.terminal import render

        from .cli.summary import console

        text = io.StringIO()
        render(self, console(file=text, width=WIDTH))
        return text.getvalue()

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def run(*, quiet: bool = False, **words: Any) -> Run:
    """Encode, decode, score and report one subject, as ``harness run`` does.

    words : options of ``harness run --help`` with ``_`` for ``-``: ``encoder``, ``decoder``, ``benchmark``,
        ``subject``, ``config``, ``metrics``, ``seed``, ``limit``, ``out`` …; several values as a list,
        ``set`` as a mapping of ``section.key`` to values, True for an option without a value.
    quiet : without lines of progress.

    Raises
    ------
    HarnessError
        What the command would say, in a line.
    """
    from .cli import run as commands

    return _carried_out(commands.run, commands.plan_of_run, (), words, quiet=quiet)


def score(path: str | Path, *, quiet: bool = False, **words: Any) -> Run:
    """Score finished reconstructions or captions with their controls, as ``harness score`` does.

    path : a folder of images named by id, a file of images and ids, or a ``.json`` of captions.
    words, quiet : as for :func:`run`.
    """
    from .cli import run as commands

    return _carried_out(commands.score, commands.plan_of_score, (str(path),), words, quiet=quiet)


def open(folder: str | Path) -> Run:
    """The finished run in `folder`; DataError where there is none."""
    return Run.open(folder)


def compare(
    runs: Given | Sequence[Given],
    *,
    rows: str | Sequence[str] = ("predicted",),
    target: str = "stimulus",
    metrics: str | Collection[str] | None = None,
    regions: str | Collection[str] | None = None,
) -> Comparison:
    """Runs tested on the same images, as ``harness compare`` does.

    runs : runs, their folders, or a folder that they lie in.
    rows, target, metrics, regions : see :func:`harness.reports.comparison.compare`; one name may be text.

    Its `means`, `differences`, `region_means`, `region_differences`, `subjects` and `variance` are frames.
    """
    from harness.reports.comparison import compare as compare_runs
    from harness.reports.leaderboard import open_runs

    from .storage.executors import single_thread

    with single_thread():
        return compare_runs(
            open_runs(_listed(runs)),
            rows=tuple(_listed(rows)),
            target=target,
            metrics=None if metrics is None else _listed(metrics),
            regions=None if regions is None else _listed(regions),
        )


def leaderboard(runs: Given | Sequence[Given]) -> Leaderboard:
    """Runs of many systems side by side, as ``harness leaderboard`` does.

    runs : runs or submissions, their folders, or a folder that they lie in.

    `table` and `taus` are frames, `wide()` has a line for each system, `write(folder)` writes the pages.
    """
    from harness.reports.leaderboard import leaderboard as build
    from harness.reports.leaderboard import open_runs

    from .cli.leaderboard import installed_versions
    from .storage.executors import single_thread

    with single_thread():
        opened = open_runs(_listed(runs))
        return build(opened, versions=installed_versions(opened))


def _listed(given: Any) -> list[Any]:
    """`given`, or what is in it."""
    return [given] if isinstance(given, str | Path | RunResult) else list(given)


def _carried_out(
    command: click.Command, plan: Any, arguments: Sequence[str], words: Mapping[str, Any], *, quiet: bool
) -> Run:
    """The run that `command` makes of `words`."""
    import click

    from .cli import run as commands
    from .cli.progress import Bars
    from .cli.summary import console
    from .places import store_folder
    from .storage.executors import single_thread
    from .storage.store import Store

    typed = [*arguments, *typed_words(command, words)]
    try:
        given = command.make_context(command.name, list(typed)).params
    except click.UsageError as problem:
        raise ConfigError(problem.format_message()) from None
    bars = Bars(console(file=io.StringIO()) if quiet else console(errors=True))
    with single_thread(), _no_script():
        planned = plan(**given)
        planned.require_files()
        store = Store(store_folder(given["store"]))
        try:
            outcome, folder, _ = commands.compute(
                planned, given, store, bars=bars, command=["harness", str(command.name), *typed]
            )
        finally:
            store.close()
    commands.refuse_failures(outcome)
    return Run.open(folder)


def typed_words(command: click.Command, words: Mapping[str, Any]) -> list[str]:
    """What would be typed for `words`, keywords, after the name of `command`."""
    options = {
        opt.removeprefix("--").replace("-", "_"): (opt, parameter)
        for parameter in command.params
        for opt in parameter.opts
        if opt.startswith("--")
    }
    offered = [name for name in options if name not in TERMINAL_ONLY]
    typed: list[str] = []
    for name, value in words.items():
        if name not in offered:
            raise ConfigError(suggest(name, offered, what="keyword"))
        option, parameter = options[name]
        if value is None or value is False:
            continue
        if value is True:
            typed.append(option)
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                typed += [option, f"{key}={json.dumps(entry, default=str)}"]
        elif isinstance(value, list | tuple) and parameter.multiple:
            for entry in value:
                typed += [option, str(entry)]
        else:
            typed += [option, ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)]
    return typed


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Worker processes begin by importing the script that started them, which would start this run again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
