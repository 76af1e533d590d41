"""``harness``: the root of the command line; a command's module is imported when it is called."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import click

from .. import __version__
from ..errors import ConfigError, HarnessError, PluginError, visible, what_happened

COMMANDS = {
    "run": ("harness.cli.run:run", "Encode, decode, score and report one subject."),
    "plan": ("harness.cli.run:plan", "Say what a run would do, without doing it."),
    "score": ("harness.cli.run:score", "Score a folder of finished reconstructions."),
    "predict": ("harness.cli.predict:predict", "Predict responses to new images by a fitted encoder."),
    "rsa": (
        "harness.cli.rsa:rsa",
        "Compare models with measured RDMs by representational similarity.",
    ),
    "experiment": ("harness.cli.experiment:experiment", "Run a suite of experiments and print its table."),
    "report": ("harness.cli.report:report", "Write a run's report.html again."),
    "cortex": ("harness.cli.cortex:cortex", "Draw a run's scores, or what two differ in, on the cortex."),
    "branches": (
        "harness.cli.branches:branches",
        "Correlate what each part of a fitted encoder predicts alone with responses, by voxel.",
    ),
    "export": ("harness.cli.report:export", "Write a run's tables as CSV, parquet, Markdown or LaTeX."),
    "submit": (
        "harness.cli.submit:submit",
        "Write a run as a folder for others, without stimuli and measured data.",
    ),
    "verify": (
        "harness.cli.submit:verify",
        "Compute the numbers of a submission again; refuse altered ones.",
    ),
    "compare": ("harness.cli.compare:compare", "Compare runs on the same images: paired tests, tie groups."),
    "leaderboard": ("harness.cli.leaderboard:leaderboard", "Put runs of many systems side by side."),
    "list": ("harness.cli.listing:list_plugins", "List encoders, decoders, benchmarks, metrics, backbones."),
    "doctor": ("harness.cli.listing:doctor", "Import every plugin and say which is broken, and why."),
    "check": (
        "harness.cli.check:check",
        "Say whether plugins keep their contracts, in a sentence for each flaw.",
    ),
    "new": ("harness.cli.new:new", "Write a package with a plugin of your own to start from."),
    "data": ("harness.cli.data:data", "Check, prepare and judge the files of a data set."),
    "inspect": ("harness.cli.inspect:inspect", "Show the arrays in a data file (.mat, .npz, .h5, .csv …)."),
    "store": ("harness.cli.store:store", "Say how large the store is; 'store prune' removes from it."),
    "status": ("harness.cli.status:status", "Say what runs on a cluster are at, and what happened to them."),
    "prefetch": ("harness.cli.prefetch:prefetch", "Store pretrained weights with their hashes."),
}

CLOSED_PIPE = 141
"""Exit code of a program that writes into a closed pipe, as the shell gives it (128 + SIGPIPE)."""


class ReaderGone(Exception):
    """Whoever read what is printed, such as ``head``, has what it wanted."""


@contextlib.contextmanager
def _noticing_readers() -> Iterator[None]:
    """Raise :class:`ReaderGone` before click or rich make an exit of their own of a closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise ReaderGone from None
        raise


class LazyGroup(click.Group):
    """A group whose help needs no command's module.

    Every command computes with one thread, as runs do: what it shows must not hang on ``OMP_NUM_THREADS``.
    """

    def make_context(self, *given: Any, **named: Any) -> click.Context:
        with _noticing_readers():
            return super().make_context(*given, **named)

    def invoke(self, context: click.Context) -> Any:
        from ..storage.executors import single_thread

        with _noticing_readers(), single_thread():
            return super().invoke(context)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from ..errors import suggest

            raise HarnessError(suggest(args[0], COMMANDS, what="command"))
        _refuse_empty(args)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Evaluate models of visual cortex end to end: stimuli -> encoder -> synthetic fMRI -> decoder ->
    reconstructions -> scores, against the stimuli and against what measured fMRI gives.

    Try it without data, network or GPU:  harness run --encoder ridge --decoder linear
    """


def main() -> None:
    """Run the command line; a problem that the user can mend is one line and a non-zero exit."""
    signal.signal(signal.SIGTERM, _terminated)
    _open_standard_streams()
    try:
        code = _called()
        _flush()
        sys.exit(code)
    except HarnessError as problem:
        _say(f"harness: error: {problem}")
        logging.getLogger(__name__).debug("where it came from", exc_info=True)
        sys.exit(problem.exit_code)
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.ctx.get_help())
        sys.exit(0)
    except click.UsageError as problem:
        hint = f" Type: {problem.ctx.command_path} --help" if problem.ctx else ""
        _say(f"harness: error: {problem.format_message()}{hint}")
        sys.exit(2)
    except click.ClickException as problem:
        _say(f"harness: error: {problem.format_message()}")
        sys.exit(problem.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _interrupted()
    except (BrokenPipeError, ReaderGone):
        os._exit(CLOSED_PIPE)
    except OSError as problem:
        _say(f"harness: error: {_line_of(problem)}")
        logging.getLogger(__name__).debug("where it came from", exc_info=True)
        _leave(2)
    except MemoryError:
        _say("harness: error: out of memory; try --workers 1 or a smaller --set run.micro_batch")
        sys.exit(2)


def _called() -> int:
    """Exit code of the command; code of a plugin that exits in its midst must not end it with 0."""
    try:
        return cli.main(standalone_mode=False) or 0
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as problem:
        raise PluginError(f"a plugin ends the command: {what_happened(problem)}") from problem


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse ``--subject ''`` and ``--out=``: mostly a shell's variable that is not set."""
    for before, word in itertools.pairwise(words):
        option, equals, value = word.partition("=")
        if word == "" or (option.startswith("--") and equals and not value):
            given = option if equals else before
            raise ConfigError(f"the value after {given} is empty; give one, or leave {given} out")


def _open_standard_streams() -> None:
    """Where a caller closed one (``>&-``), the next file to be opened would get its number and its prints."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # A terminal of another encoding gets escapes in place of what it cannot show.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Write out what is still held back, so that a full disk or a closed pipe behind it is not missed."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _line_of(problem: OSError) -> str:
    """What the system refused, for files of the user that no reader has words for."""
    from ..storage.disk import is_out_of_space

    if is_out_of_space(problem):
        return f"no space left for {problem.filename or 'what is printed'}; free some and type it again"
    where = f"{problem.filename}: " if problem.filename else ""
    return f"{where}{problem.strerror or problem}"


def _leave(code: int) -> None:
    """Exit; where the interpreter would try again to print what cannot be printed, at once."""
    try:
        _flush()
    except (OSError, ValueError):
        os._exit(code)
    sys.exit(code)


def _interrupted() -> None:
    """Say so and leave as the interpreter does, which gives semaphores back, but within seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _say("harness: interrupted; what was finished is kept. Type the same command again to go on.")
    timer = threading.Timer(PATIENCE, os._exit, (130,))  # a library's thread must not hold the prompt back
    timer.daemon = True
    timer.start()
    _leave(130)


PATIENCE = 3.0
"""Seconds that an interrupted command has for its exit."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print_line = visible(" ".join(text.split()))
    click.echo(print_line, err=True)
