"""Executors: run independent tasks inline or in worker processes, with the same numbers.

On a CPU everything that a run computes, it computes with one thread, inline as in a worker: a sum over four
threads is another sum than over one, and neither a fit nor a score may depend on the number of workers or on
``OMP_NUM_THREADS``.  :func:`single_thread` does so, around each task here, around what makes an artifact
(:meth:`.store.Store.get`), around a whole run and around every command.
Which BLAS, and which of its kernels a processor calls for, is left as it is: another kind of machine has
other last digits.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..errors import PluginError, what_happened
from .references import Held, Reference

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Executor(Protocol):
    """``map`` yields ``function(task)`` in any order; an exception of a task is raised here.

    elsewhere : tasks run in other processes, and had better be sent references.
    workers : tasks that are carried out at a time.
    """

    elsewhere: bool
    workers: int

    def map(self, function: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]: ...

    def share(self, array: np.ndarray) -> Reference:
        """`array` where every task can load it, until :meth:`close`."""

    def close(self, *, wait: bool = True) -> None: ...


class Inline:
    """One task after the other in this process."""

    elsewhere = False
    workers = 1

    def map(self, function: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]:
        for task in tasks:
            with single_thread():
                outcome = contained(function, task)
            yield outcome

    def share(self, array: np.ndarray) -> Reference:
        """The array itself."""
        return Held(array)

    def close(self, *, wait: bool = True) -> None:
        """Nothing to close."""


def side_by_side(executor: Executor, *calls: Callable[[], Outcome]) -> list[Outcome]:
    """What each of `calls` gives, in their order; where tasks run elsewhere, all hand out theirs at once.

    Where tasks run in this process the calls follow each other, since threads would share torch's generators.
    When one fails, the others are stopped in the middle of what they are at, and the executor is closed.
    """
    if not executor.elsewhere or len(calls) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(len(calls)) as threads:
        # A thread hears of progress and of its stage through the context of whoever starts it.
        running = [threads.submit(contextvars.copy_context().run, call) for call in calls]
        try:
            finished, _ = wait(running, return_when=FIRST_EXCEPTION)
            for future in running:
                if future in finished:
                    future.result()
        except BaseException:
            executor.close(wait=False)
            raise
    return [future.result() for future in running]


def contained(function: Callable[[Task], Outcome], task: Task) -> Outcome:
    """``function(task)``; a plugin that exits there becomes a :class:`PluginError`.

    Another process would hand on ``SystemExit``, and the run would end as if it had succeeded.
    """
    try:
        return function(task)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as problem:
        raise PluginError(f"a plugin ends the run: {what_happened(problem)}") from problem


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Limit BLAS, OpenMP and torch to one thread, and put the old numbers back.

    Libraries that are imported meanwhile start with one thread and keep to it.
    """
    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with environment(dict.fromkeys(THREADS, "1")), _libraries(len(sys.modules)).limit(limits=1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """Libraries with threads; looked for again where `modules` are more, since only an import brings one.

    To look for them takes longer than many tasks do.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables, and put the old values back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
