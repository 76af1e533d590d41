"""Progress on the terminal: bars with an estimate on a tty, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
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

from ..progress import Lines, Stage


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

    On a terminal a bar for each stage that goes on and below it one for what its fit says; in a log file or
    a pipe a line every `every` seconds and one when the stage is finished.
    """

    def __init__(
        self, console: Console, *, every: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._every, self._clock = console, every, clock
        self._progress: Progress | None = None
        self._going_on = 0
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage of one step around what is done inside."""
        stage = self.start(name, 1)
        try:
            yield
        finally:
            stage.finish()

    def start(self, stage: str, total: int) -> Stage:
        """See :class:`harness.progress.Reporter`."""
        if not self._console.is_terminal:
            return _LoggedStage(self._console, stage, total, every=self._every, clock=self._clock)
        with self._lock:
            self._going_on += 1
            if self._progress is None:
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
            return _DrawnStage(self._progress, stage, total, self._finished)

    def _finished(self) -> None:
        """The bars of stages that went on at once stay where they are when the last one is over."""
        with self._lock:
            self._going_on -= 1
            if not self._going_on and self._progress is not None:
                self._progress.stop()
                self._progress = None


class _LoggedStage:
    """Plain lines of one stage."""

    def __init__(
        self, console: Console, name: str, total: int, *, every: float, clock: Callable[[], float]
    ) -> None:
        self._console, self._name, self._clock = console, name, clock
        self._done, self._total, self._started = 0, total, clock()
        self._lines = Lines(self._line, every=every, clock=clock)
        self._lines("", 0, total)

    def advance(self, count: int) -> None:
        self._done += count
        self._lines("", self._done, self._total)

    def within(self, what: str, done: int, total: int) -> None:
        self._lines(what, done, total)

    def finish(self) -> None:
        if sys.exc_info()[0] is None:
            self._line(f"{self._clock() - self._started:.1f} s")

    def _line(self, text: str) -> None:
        self._console.print(f"{self._name}: {text}", highlight=False, markup=False, soft_wrap=True)


class _DrawnStage:
    """Bars of one stage: its own, and that of what goes on inside."""

    def __init__(self, bars: Progress, name: str, total: int, finished: Callable[[], None]) -> None:
        self._bars, self._total, self._tell = bars, total, finished
        self._bar, self._part, self._what = bars.add_task(name, total=total), TaskID(0), ""
        self._over = False

    def advance(self, count: int) -> None:
        self._bars.advance(self._bar, count)

    def within(self, what: str, done: int, total: int) -> None:
        if self._over:  # said by a worker before, heard now
            return
        if what != self._what:
            if self._what:
                self._bars.remove_task(self._part)
            self._part, self._what = self._bars.add_task(f"  {what}", total=total), what
        self._bars.update(self._part, completed=done, total=total)

    def finish(self) -> None:
        self._over = True
        if self._what:
            self._bars.remove_task(self._part)
        if sys.exc_info()[0] is None:
            self._bars.update(self._bar, completed=self._total)
        self._tell()
