"""Progress on the terminal: a bar per stage on a tty, a line per stage elsewhere."""

from __future__ import annotations

import logging
import sys
import time

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def set_up_logging(verbosity: int, console: Console) -> None:
    """Warnings by default, -v debug of this package; one handler that does not break the bars."""
    handler = RichHandler(console=console, show_time=False, show_path=False, markup=False)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("harness")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity else logging.WARNING)
    root.propagate = False


class Bars:
    """A :class:`harness.pipeline.Reporter` that draws on stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._started = 0.0
        self._stage = ""
        self._task = None

    def start(self, stage: str, total: int) -> None:
        self._stage, self._started = stage, time.perf_counter()
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description:16}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task(stage, total=total)

    def advance(self, count: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)

    def finish(self) -> None:
        failed = sys.exc_info()[0] is not None
        if self._progress is not None and self._task is not None:
            if not failed:
                task = self._progress.tasks[0]
                self._progress.update(self._task, completed=task.total)
            self._progress.stop()
            self._progress = self._task = None
        elif not failed:
            self._console.print(
                f"{self._stage}: {time.perf_counter() - self._started:.1f} s", highlight=False
            )
