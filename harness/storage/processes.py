"""Worker processes of this machine that carry out tasks."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WorkerDied
from ..progress import listener
from .executors import THREADS, Outcome, Task, environment
from .heard import Channel, Speaker
from .references import Filed, Reference
from .tasks import Answer, carried_out, outcome_of

logger = logging.getLogger(__name__)


class Processes:
    """A pool of spawned processes; tasks are handed out a few at a time, so memory stays bounded.

    With several CUDA devices each worker sees one of them.
    """

    elsewhere = True

    def __init__(self, workers: int, *, device: str = "cpu") -> None:
        context = multiprocessing.get_context("spawn")
        rank = context.Value("i", 0)
        self.workers = workers
        self._shared = 0  # arrays
        self._folder = Path(tempfile.gettempdir()) / f"harness-{uuid.uuid4().hex}"
        self._channel = Channel(context)
        self._handing_out = threading.Lock()
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(rank, device, os.getpid(), self._channel.writer, self._folder),
        )

    def map(self, function: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]:
        running: set[Future[Answer[Outcome]]] = set()
        number = self._channel.number_of(listener())
        try:
            for task in tasks:
                # Spawned workers read the environment when they start, which is at the first submits; of
                # several threads each would take the other's for what was there before.
                with self._handing_out, environment(dict.fromkeys(THREADS, "1")), _interrupts_held_back():
                    running.add(self._pool.submit(_in_worker, function, task, number))
                while len(running) >= 2 * self.workers:
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
        with self._handing_out:
            if not self._shared:
                self._folder.mkdir(mode=0o700)
            self._shared += 1
            file = self._folder / f"{self._shared}.npy"
        np.save(file, array, allow_pickle=False)
        return Filed(str(file))

    def close(self, *, wait: bool = True) -> None:
        """Stop; without `wait` busy workers are killed, and lose the task that they are at."""
        with self._handing_out:  # or a worker would be started for a task that is handed out meanwhile
            if not wait:
                for process in list((self._pool._processes or {}).values()):
                    process.kill()
            # With its workers gone the pool ends at once, and takes its semaphores with it.  It then tells
            # every task that it is broken: what is cancelled wakes nobody who waits for several tasks.
            self._pool.shutdown(wait=True, cancel_futures=wait)
        self._channel.close()
        shutil.rmtree(self._folder, ignore_errors=True)


_WRITER: list[Connection] = []
"""In a worker: where it says how far it is."""


def _in_worker(function: Callable[[Task], Outcome], task: Task, number: int) -> Answer[Outcome]:
    """In a worker: what came of the task; `number` is that of whoever listens."""
    return carried_out(function, task, Speaker(_WRITER[0], number) if number >= 0 else None)


def _outcome_of(future: Future[Answer[Outcome]]) -> Outcome:
    try:
        answer = future.result()
    except Exception:
        logger.debug("in a worker", exc_info=True)
        raise
    return outcome_of(answer)


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


def _start_worker(rank: Any, device: str, parent: int, writer: Connection, shared: Path) -> None:
    _WRITER[:] = [writer]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be held back
    with rank.get_lock():
        number, rank.value = rank.value, rank.value + 1
    if device == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = visible.split(",") if visible else _cuda_devices()
        if devices:
            os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    # A worker whose parent was killed would wait for tasks for ever.
    threading.Thread(target=_leave_with, args=(parent, shared), daemon=True).start()


def _cuda_devices() -> list[str]:
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _leave_with(parent: int, shared: Path) -> None:
    """Wait for the end of `parent`; what it shared, gigabytes of a full-size subject, nobody else removes."""
    while os.getppid() == parent:
        time.sleep(1.0)
    shutil.rmtree(shared, ignore_errors=True)
    os._exit(1)
