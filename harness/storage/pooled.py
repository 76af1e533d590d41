"""The executor of clusters: hands tasks to workers on other machines through a folder (:mod:`.spool`).

How workers are started is a launcher's business (:mod:`.slurm`, :mod:`.ray_cluster`); that nothing is lost
when one dies is dealt with here, once for all clusters.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import HarnessError, WorkerDied, what_happened
from ..progress import Listener, listener
from .disk import explained
from .executors import Outcome, Task
from .references import Filed, Reference
from .signed import new_secret
from .spool import BEAT, Life, Spool, Watch
from .spool_worker import POLL, Worker
from .tasks import outcome_of

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Workers that may die over one task; then the task is thought to be the reason."""

STARTS = 10
"""Times that workers are started anew, for each that was asked for."""

LOOK = 5.0
"""Seconds between two questions to the cluster."""

PATIENCE = 30.0
"""Seconds after which it is said why the cluster has not started a worker."""

GRACE = 3.0
"""Seconds that workers without a task have to go home by themselves."""

KEPT = 20
"""Folders of runs that are over whose logs are kept."""


class Launcher(Protocol):
    """How a cluster, called `name`, starts workers."""

    name: str

    def start(self, workers: Sequence[Worker]) -> None:
        """Start them, or put them into a queue."""

    def alive(self) -> Collection[str] | None:
        """Names of those that run, wait or will be started again; None where the cluster gives no answer."""

    def waiting(self) -> Mapping[str, str]:
        """Why those wait that the cluster has not started, as it was when `alive` was last asked."""

    def stop(self) -> None:
        """End all that were started."""


@dataclass
class _Sent:
    """A task that was handed out, and what is known of it."""

    listener: Listener | None
    lost: int = 0


class Pooled:
    """Tasks in `folder`, carried out by `workers` workers of `launcher`, which are started at the first task.

    lost_after : seconds without a sign of life, after which a worker's task is given to another.  Where the
        first one was only slow, both finish, and write the same artifact.
    """

    elsewhere = True

    def __init__(
        self, launcher: Launcher, workers: int, folder: Path, *, name: str, lost_after: float = 60.0
    ) -> None:
        self._launcher, self.workers, self._lost_after = launcher, workers, lost_after
        self._secret = new_secret()
        self._spool = Spool(folder, self._secret)
        self._name = name
        self._sent: dict[int, _Sent] = {}
        self._handed_out = self._shared = self._started = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._problem: Exception | None = None
        self._watching: threading.Thread | None = None

    def map(self, function: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]:
        own: set[int] = set()
        heard = listener()
        try:
            for task in tasks:
                own.add(self._hand_out((function, task), heard))
                while len(own) >= 2 * self.workers:
                    yield self._next_of(own)
            while own:
                yield self._next_of(own)
        finally:
            for number in own:
                self._spool.withdraw(number)

    def share(self, array: np.ndarray) -> Reference:
        """A file in the folder, which workers map into memory."""
        self._open()
        with self._lock:
            self._shared += 1
            file = self._spool.folder / "shared" / f"{self._shared}.npy"
        np.save(file, array, allow_pickle=False)
        return Filed(str(file))

    def close(self, *, wait: bool = True) -> None:
        """Send workers home; with `wait` those that are busy finish their task.  Logs stay."""
        if self._watching is None or self._over.is_set():
            return
        self._spool.close()
        while wait and self._problem is None and self._alive_and_busy():
            time.sleep(POLL[1])
        self._over.set()
        self._watching.join()
        until = time.monotonic() + GRACE
        while wait and time.monotonic() < until and not all(life.ended for life in self._spool.workers()):
            time.sleep(POLL[0])
        self._launcher.stop()
        self._spool.write_driver(self._words(ended=True))
        self._spool.clear()

    def _open(self) -> None:
        """Make the folder and start workers, the first time."""
        with self._lock:
            if self._problem is not None:
                raise self._problem
            if self._watching is not None:
                return
            try:
                _forget_old(self._spool.folder.parent)
                self._spool.create()
                self._spool.write_driver(self._words())
                self._start(self._new_names(self.workers))
            except Exception as problem:
                self._problem = problem
                shutil.rmtree(self._spool.folder, ignore_errors=True)
                raise
            self._watching = threading.Thread(target=self._watch, daemon=True)
            self._watching.start()

    def _hand_out(self, task: Any, heard: Listener | None) -> int:
        self._open()
        with self._lock:
            self._handed_out += 1
            number = self._handed_out
            self._sent[number] = _Sent(heard)
        self._spool.hand_out(number, task)
        return number

    def _next_of(self, own: set[int]) -> Any:
        """What came of the first of `own` that is carried out; waits for it."""
        pause = POLL[0]
        while True:
            if self._problem is not None:
                raise self._problem
            if self._over.is_set():  # closed by whoever failed beside this
                raise WorkerDied("tasks were stopped; what was finished is kept: run the same command again")
            for number in self._spool.answers():
                if number in own:
                    own.remove(number)
                    self._sent.pop(number, None)
                    good, answer = self._spool.collect(number)
                    if not good:
                        raise answer
                    return outcome_of(answer)
            time.sleep(pause)
            pause = min(1.2 * pause, POLL[1])

    def _start(self, names: Sequence[str]) -> None:
        workers = [Worker(str(self._spool.folder), name, self._secret) for name in names]
        self._started += len(workers)
        self._launcher.start(workers)
        self._spool.note(f"workers {', '.join(names)} were started")

    def _new_names(self, count: int) -> list[str]:
        """Of workers that are about to be started."""
        return [f"w{self._started + more}" for more in range(count)]

    def _alive_and_busy(self) -> bool:
        busy = {worker for _, worker in self._spool.claimed()}
        try:
            alive = self._launcher.alive() if busy else None
        except HarnessError:  # the cluster is gone, and with it whoever was busy
            logger.debug("while closing", exc_info=True)
            return False
        return bool(busy) if alive is None else not busy.isdisjoint(alive)

    def _watch(self) -> None:
        """Until the end: show that this process lives, and see whether workers do."""
        watcher = _Watcher(self)
        while not self._over.wait(BEAT):
            try:
                with explained(self._spool.folder):
                    self._spool.write_driver(self._words(beats=watcher.beats))
                    watcher.look()
            except Exception as problem:
                logger.debug("while watching workers", exc_info=True)
                self._problem = problem if isinstance(problem, HarnessError) else _unwatched(problem)
                return

    def _words(self, *, beats: int = 0, ended: bool = False) -> dict[str, Any]:
        names = [name for name in os.environ if name.startswith("HARNESS_") or name == "XDG_CACHE_HOME"]
        return {
            "name": self._name,
            "cluster": self._launcher.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "directory": os.getcwd(),
            "environment": {name: os.environ[name] for name in names},
            "workers": self.workers,
            "handed_out": self._handed_out,
            "beats": beats,
            "ended": ended,
        }


class _Watcher:
    """What the process that hands out knows of its workers."""

    def __init__(self, pool: Pooled) -> None:
        self.beats = 0
        self._pool, self._spool = pool, pool._spool
        self._watch = Watch()
        self._lives: dict[str, str] = {}
        self._lost: set[str] = set()
        self._waits: set[str] = set()  # reasons that were told
        self._asked = time.monotonic()

    def look(self) -> None:
        """Hear of progress, give tasks of lost workers to others, start workers in place of those gone."""
        self.beats += 1
        workers = {worker.name: worker for worker in self._spool.workers()}
        for worker in workers.values():
            self._see(worker)
        alive = self._alive()
        for name in sorted({name for _, name in self._spool.claimed()}):
            worker = workers.get(name)
            if alive is not None and name not in alive:
                self._lose(name, worker, "ended in the middle of a task", died=True)
            elif name in self._lost:  # which may be no fault of its task
                silence = f"gave no sign of life for {self._pool._lost_after:.0f} s"
                self._lose(name, worker, silence, died=False)
        if alive is not None and not self._spool.is_closed():
            gone = self._pool.workers - len(set(alive) - self._lost)
            if gone > 0:
                self._replace(gone)
            self._tell_why_they_wait()

    def _tell_why_they_wait(self) -> None:
        """A run that waits for a node is not to look like one that computes."""
        waiting = self._pool._launcher.waiting()
        for reason in sorted(set(waiting.values())):
            names = sorted(name for name, why in waiting.items() if why == reason)
            if reason not in self._waits and self._watch.silent(f"waits: {reason}", None) > PATIENCE:
                self._waits.add(reason)
                self._say(f"waiting for {self._pool._launcher.name} to start {', '.join(names)}: {reason}")

    def _see(self, worker: Life) -> None:
        sent = self._pool._sent.get(worker.task)
        if sent is not None and sent.listener is not None and worker.what:
            with contextlib.suppress(Exception):  # whoever shows it must not end the run
                sent.listener(worker.what, worker.done, worker.total)
        before = self._lives.get(worker.name)
        if before is not None and before != worker.life:
            self._say(f"worker {_who(worker)} was stopped and has started again; its task goes on")
        self._lives[worker.name] = worker.life
        silent = self._watch.silent(worker.name, (worker.life, worker.beats)) > self._pool._lost_after
        if silent and not worker.ended:
            self._lost.add(worker.name)
        elif worker.name in self._lost:
            self._lost.discard(worker.name)
            self._say(f"worker {_who(worker)} gives signs of life again")

    def _alive(self) -> Collection[str] | None:
        """Workers of which the cluster knows; None between two questions."""
        if time.monotonic() - self._asked < min(LOOK, self._pool._lost_after):
            return None
        self._asked = time.monotonic()
        return self._pool._launcher.alive()

    def _lose(self, name: str, worker: Life | None, why: str, *, died: bool) -> None:
        who = _who(worker) if worker is not None else name
        for number in self._spool.give_back(name):
            sent = self._pool._sent.get(number)
            if sent is None:
                self._spool.withdraw(number)
                continue
            sent.lost += died
            if sent.lost >= ATTEMPTS:
                raise WorkerDied(
                    f"{sent.lost} workers died over one task (out of memory?), the last one {who}: {why}; "
                    f"logs lie in {self._spool.folder}. What was finished is kept: run the same command "
                    "again, perhaps with more memory or a smaller --set run.micro_batch"
                )
            self._say(f"worker {who} {why}; task {number} is computed again by another one")

    def _replace(self, count: int) -> None:
        if self._pool._started + count > STARTS * self._pool.workers:
            raise WorkerDied(
                f"workers ended {self._pool._started - self._pool.workers} times; logs lie in "
                f"{self._spool.folder}. What was finished is kept: run the same command again"
            )
        names = self._pool._new_names(count)
        self._say(f"{count} of {self._pool.workers} workers are gone; {', '.join(names)} take their place")
        self._pool._start(names)

    def _say(self, line: str) -> None:
        logger.warning(line)
        self._spool.note(line)


def _who(worker: Life) -> str:
    job = f"job {worker.job} " if worker.job else ""
    return f"{worker.name} ({job}on {worker.host})"


def _unwatched(problem: Exception) -> WorkerDied:
    reason = " ".join(what_happened(problem).split())
    return WorkerDied(f"workers can no longer be watched ({reason}); run the same command again")


def _forget_old(folder: Path) -> None:
    """Remove all but the logs of runs that are over or were killed, and of the older ones these too."""
    over = []
    for spool in map(Spool, folder.iterdir() if folder.is_dir() else ()):
        driver = spool.driver()
        here = driver.get("host") == socket.gethostname() and Path("/proc/self").exists()
        if driver.get("ended") or (here and not Path(f"/proc/{driver.get('pid')}").exists()):
            spool.clear()
            over.append(spool.folder)
    for place in sorted(over, key=lambda place: place.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(place, ignore_errors=True)
