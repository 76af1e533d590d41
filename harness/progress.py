"""How a plugin's fit says how far it is, without a word in its signature.

A plugin wraps the loop that takes long, ``for epoch in track(range(n), "stage 1")``, or calls
:func:`progress`; whoever started the fit listens with :func:`listening`.  Where nobody does, as in a
worker process or a notebook, both do nothing.  Numbers are passed on and never read back, so nothing
that a fit computes can depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")

Listener = Callable[[str, int, int], None]
"""``listener(what, done, total)``: `done` of `total` steps of `what` are finished."""


class Stage(Protocol):
    """A stage of a run that was started; what it hears may come from another thread."""

    def advance(self, count: int) -> None:
        """So many more steps of it are done."""

    def within(self, what: str, done: int, total: int) -> None:
        """A :data:`Listener` of what goes on inside."""

    def finish(self) -> None:
        """It is over; called while an exception is handled where it failed."""


class Reporter(Protocol):
    """Where a run's stages go; :class:`Silent` for library use, bars or lines on the command line."""

    def start(self, stage: str, total: int) -> Stage:
        """A stage of `total` steps; several may go on at once."""


class Silent:
    """Report nothing; a :class:`Reporter`, and its own :class:`Stage`."""

    def start(self, stage: str, total: int) -> Stage:
        """Itself."""
        return self

    def advance(self, count: int) -> None:
        """Say nothing."""

    def within(self, what: str, done: int, total: int) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


_LISTENER: ContextVar[Listener | None] = ContextVar("harness_progress", default=None)


def progress(what: str, done: int, total: int) -> None:
    """Say that `done` of `total` steps of `what`, two or three words such as ``stage 1``, are finished."""
    hear = listener()
    if hear is not None:
        hear(what, done, total)


def track(steps: Sequence[Item], what: str, *, done: int = 0) -> Iterator[Item]:
    """Yield `steps`, saying after each how many are finished.

    done : steps finished before the first of `steps`, by a fit that was stopped and goes on.
    """
    total = done + len(steps)
    progress(what, done, total)
    for number, step in enumerate(steps, start=done + 1):
        yield step
        progress(what, number, total)


def listener() -> Listener | None:
    """Whoever listens here, for what goes on elsewhere and reports."""
    return _LISTENER.get()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear of the progress of everything that is called inside, in this thread."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


class Lines:
    """A listener that writes plain lines, for log files: what is done and how long the rest will take.

    write : gets each line.  every : seconds between two lines at least, and before the first.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._every, self._clock = write, every, clock
        self._started: dict[str, tuple[int, int, float]] = {}  # what -> (total, first done, when)
        self._written = clock()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        of, first, began = self._started.get(what, (0, 0, now))
        if of != total or done < first:
            self._started[what] = (total, done, now)
        elif now - self._written >= self._every and first < done < total:
            self._written, seconds = now, now - began
            left = seconds * (total - done) / (done - first)
            start = f"{what}: " if what else ""
            spent = f"{duration(seconds)} so far, about {duration(left)} left"
            self._write(f"{start}{done} of {total} ({done / total:.0%}), {spent}")


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
