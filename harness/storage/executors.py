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
import copy
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from ..errors import HarnessError, PluginError, WorkerDied, suggest, what_happened
from .references import Filed, Held, Reference

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Executor(Protocol):
    """``map`` yields ``function(task)`` in any order; an exception of a task is raised here.

    elsewhere : tasks run in other processes, and had better be sent references.
    """

    elsewhere: bool

    def map(self, function: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]: ...

    def share(self, array: np.ndarray) -> Reference:
        """`array` where every task can load it, until :meth:`close`."""

    def close(self, *, wait: bool = True) -> None: ...


class Inline:
    """One task after the other in this process."""

    elsewhere = False

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


class Processes:
    """A pool of spawned processes; tasks are handed out a few at a time, so memory stays bounded.

    With several CUDA devices each worker sees one of them.
    """

    elsewhere = True

    def __init__(self, workers: int, *, device: str = "cpu") -> None:
        context = multiprocessing.get_context("spawn")
        rank = context.Value("i", 0)
        self._in_flight = 2 * workers
        self._shared: list[Path] = []
        with _environment(dict.fromkeys(_THREADS, "1")):
            self._pool = ProcessPoolExecutor(
                workers, mp_context=context, initializer=_start_worker, initargs=(rank, device, os.getpid())
            )

    def map(self, function: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]:
        running: set[Future[tuple[Outcome, Sequence[logging.LogRecord]]]] = set()
        try:
            for task in tasks:
                # Spawned workers read the environment when they start, which is at the first submit.
                with _environment(dict.fromkeys(_THREADS, "1")), _interrupts_held_back():
                    running.add(self._pool.submit(_with_warnings, function, task))
                while len(running) >= self._in_flight:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from map(_outcome_of, done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from map(_outcome_of, done)
        except BrokenProcessPool:
            raise WorkerDied(
                "a worker process died (out of memory?). What it had finished is kept: run the same command "
                "again, perhaps with --workers 1 or a smaller --set run.micro_batch"
            ) from None
        finally:
            for future in running:
                future.cancel()

    def share(self, array: np.ndarray) -> Reference:
        """A temporary file that workers map into memory."""
        if not self._shared:
            self._shared.append(Path(tempfile.mkdtemp(prefix="harness-")))
        file = self._shared[0] / f"{len(self._shared)}.npy"
        self._shared.append(file)
        np.save(file, array, allow_pickle=False)
        return Filed(str(file))

    def close(self, *, wait: bool = True) -> None:
        """Stop; without `wait` busy workers are killed, and lose the task that they are at."""
        if not wait:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        # With its workers gone the pool ends at once, and takes its semaphores with it.
        self._pool.shutdown(wait=True, cancel_futures=True)
        for folder in self._shared[:1]:
            shutil.rmtree(folder, ignore_errors=True)
        self._shared.clear()


def open_executor(name: str, *, workers: int, device: str) -> Executor:
    """The executor called `name`."""
    if name == "inline":
        return Inline()
    if name == "processes":
        return Processes(workers, device=device)
    raise HarnessError(suggest(name, ("inline", "processes"), what="executor"))


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


class _Kept(logging.Handler):
    """Keeps what is warned of, ready to be sent to another process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        sent = copy.copy(record)
        sent.msg, sent.args, sent.exc_info, sent.exc_text = record.getMessage(), None, None, None
        self.records.append(sent)


def _with_warnings(
    function: Callable[[Task], Outcome], task: Task
) -> tuple[Outcome, Sequence[logging.LogRecord]]:
    """In a worker: the outcome, and what was warned of on the way."""
    kept, root = _Kept(), logging.getLogger()
    root.addHandler(kept)
    try:
        return contained(function, task), kept.records
    finally:
        root.removeHandler(kept)


def _outcome_of(future: Future[tuple[Outcome, Sequence[logging.LogRecord]]]) -> Outcome:
    """The outcome of a worker's task; its warnings are repeated here, where they are shown and heard."""
    outcome, records = future.result()
    for record in records:
        logging.getLogger(record.name).handle(record)
    return outcome


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Limit BLAS, OpenMP and torch to one thread, and put the old numbers back.

    Libraries that are imported meanwhile start with one thread and keep to it.
    """
    from threadpoolctl import threadpool_limits

    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with _environment(dict.fromkeys(_THREADS, "1")), threadpool_limits(1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C reaches this process afterwards, and what is started meanwhile never.

    A terminal interrupts all processes of a command, but only the first one knows what to say and do.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
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


def _start_worker(rank: Any, device: str, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be held back
    with rank.get_lock():
        number, rank.value = rank.value, rank.value + 1
    if device == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = visible.split(",") if visible else _cuda_devices()
        if devices:
            os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    # A worker whose parent was killed would wait for tasks for ever.
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _cuda_devices() -> list[str]:
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
