"""Progress on the terminal: bars with an estimate on a tty, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..progress import Lines


def set_up_logging(verbosity: int, console: Console) -> None:
    """Warnings by default, -v debug of this package; one handler that does not break the bars."""
    handler = RichHandler(console=console, show_time=False, show_path=False, markup=False)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("harness")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity else logging.WARNING)
    root.propagate = False


class Bars:
    """A :class:`harness.progress.Reporter` that draws on stderr.

    On a terminal a bar for the stage and below it one for what its fit says; in a log file or a pipe a
    line every `every` seconds and one when the stage is finished.
    """

    def __init__(
        self, console: Console, *, every: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._every, self._clock = console, every, clock
        self._stage, self._done, self._total, self._started = "", 0, 0, 0.0
        self._lines: Lines | None = None
        self._progress: Progress | None = None
        self._bar = self._part = TaskID(0)
        self._what = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage of one step around what is done inside."""
        self.start(name, 1)
        try:
            yield
        finally:
            self.finish()

    def start(self, stage: str, total: int) -> None:
        self._stage, self._done, self._total, self._started = stage, 0, total, self._clock()
        if not self._console.is_terminal:
            self._lines = Lines(self._line, every=self._every, clock=self._clock)
            self._lines("", 0, total)
            return
        self._progress = Progress(
            TextColumn("{task.description:16}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("left"),
            console=self._console,
        )
        self._progress.start()
        self._bar, self._what = self._progress.add_task(stage, total=total), ""

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress.advance(self._bar, count)
        elif self._lines is not None:
            self._lines("", self._done, self._total)

    def within(self, what: str, done: int, total: int) -> None:
        if self._progress is None:
            if self._lines is not None:
                self._lines(what, done, total)
            return
        if what != self._what:
            if self._what:
                self._progress.remove_task(self._part)
            self._part, self._what = self._progress.add_task(f"  {what}", total=total), what
        self._progress.update(self._part, completed=done, total=total)

    def finish(self) -> None:
        failed = sys.exc_info()[0] is not None
        if self._progress is not None:
            if self._what:
                self._progress.remove_task(self._part)
            if not failed:
                self._progress.update(self._bar, completed=self._total)
            self._progress.stop()
            self._progress = None
        elif not failed:
            self._line(f"{self._clock() - self._started:.1f} s")
        self._lines = None

    def _line(self, text: str) -> None:
        self._console.print(f"{self._stage}: {text}", highlight=False, markup=False, soft_wrap=True)
