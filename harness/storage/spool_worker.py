"""A worker of a cluster: takes tasks from a folder (:mod:`.spool`) until nothing more comes.

It runs as a job of SLURM or a task of Ray, keeps stores and networks open from one task to the next
(:mod:`.worker`), and goes home when the process that hands out is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import HarnessError, PluginError, what_happened
from .disk import is_out_of_space
from .executors import single_thread
from .signed import signed, verified
from .spool import BEAT, Life, Spool, Watch
from .tasks import carried_out

logger = logging.getLogger(__name__)

PATIENCE = 300.0
"""Seconds without a sign of the process that hands out, after which a worker goes home."""

POLL = (0.02, 0.5)
"""Seconds between two looks for a task: at first, and after a while without one."""


@dataclass(frozen=True)
class Worker:
    """What a cluster is given to call; picklable.

    patience : as :data:`PATIENCE`.
    """

    folder: str
    name: str
    secret: bytes
    patience: float = PATIENCE

    def __call__(self) -> int:
        """Take tasks until there are no more; how many were carried out."""
        with single_thread():
            return _Working(self).until_closed()

    def leave(self) -> None:
        """Give back what is under way: this process will be stopped, and another one goes on."""
        _LEAVING.add(self.name)
        Spool(Path(self.folder)).give_back(self.name)


_LEAVING: set[str] = set()
"""Workers of this process whose time is up."""


class _Working:
    """One life of a worker."""

    def __init__(self, worker: Worker) -> None:
        self._spool = Spool(Path(worker.folder), worker.secret)
        self._worker = worker
        job = "_".join(filter(None, map(os.environ.get, ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"))))
        self._life = Life(worker.name, uuid.uuid4().hex, socket.gethostname(), os.getpid(), job=job)
        self._lock = threading.Lock()
        self._over = threading.Event()

    def until_closed(self) -> int:
        driver = self._spool.driver()
        os.environ.update(driver.get("environment", {}))
        with contextlib.suppress(OSError):  # it may be a folder of the other machine alone
            os.chdir(driver.get("directory", "."))
        for number in self._spool.give_back(self._worker.name):  # of an earlier life
            logger.info("task %d was begun before this worker was stopped", number)
        threading.Thread(target=self._live, daemon=True).start()
        try:
            for number in self._tasks():
                self._change(task=number, what="", done=0, total=0)
                answer = self._answer(number)
                if self._worker.name in _LEAVING:
                    break
                self._tell(number, answer)
                self._change(task=-1, carried_out=self._life.carried_out + 1)
        finally:
            self._over.set()
            self._change(ended=True, task=-1)
        return self._life.carried_out

    def _tasks(self) -> Iterator[int]:
        watch, pause = Watch(), POLL[0]
        while not self._spool.is_closed():
            claimed = self._spool.claim(self._worker.name)
            if claimed is not None:
                pause = POLL[0]
                yield claimed
                continue
            if watch.silent("driver", self._spool.driver().get("beats")) > self._worker.patience:
                logger.warning("the process that hands out tasks is gone; this worker goes home")
                return
            time.sleep(pause)
            pause = min(1.5 * pause, POLL[1])

    def _tell(self, number: int, answer: tuple[bool, Any]) -> None:
        """Pass the answer on; on a full disk, when there is space again or nobody waits for it."""
        while not self._spool.is_closed():
            try:
                return self._spool.answer(number, self._worker.name, answer)
            except OSError as problem:
                if self._spool.is_closed():  # another worker was thought to be faster, and the run is over
                    return
                if not is_out_of_space(problem):
                    raise
                logger.warning("the answer to task %d cannot be written: %s", number, problem)
                time.sleep(BEAT)

    def _answer(self, number: int) -> tuple[bool, Any]:
        """(True, what came of the task) or (False, its exception)."""
        try:
            function, task = self._spool.task(number, self._worker.name)
            with single_thread():
                return True, self._sendable(carried_out(function, task, self._hear))
        except Exception as problem:
            logger.debug("a task failed", exc_info=True)
            return False, self._sendable(problem)

    def _sendable(self, value: Any) -> Any:
        """`value`, or where it does not survive a journey, an error that says so."""
        try:
            verified(signed(value, b""), b"", origin="")
        except Exception:
            reason = what_happened(value) if isinstance(value, Exception) else type(value).__name__
            if isinstance(value, HarnessError):
                return type(value)(str(value)) if not isinstance(value, PluginError) else PluginError(reason)
            return PluginError(f"a task ended with what no other process can read: {reason}")
        return value

    def _hear(self, what: str, done: int, total: int) -> None:
        self._life = replace(self._life, what=what, done=int(done), total=int(total))

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._life = replace(self._life, **changes)
            self._show()

    def _live(self) -> None:
        while not self._over.wait(BEAT):
            with self._lock:
                if not self._over.is_set():
                    self._show()

    def _show(self) -> None:
        self._life = replace(self._life, beats=self._life.beats + 1)
        with contextlib.suppress(OSError):  # closed and removed, or a full disk: whoever watches waits
            self._spool.show(self._life)
