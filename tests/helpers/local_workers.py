"""Workers of a cluster that is this machine alone: a launcher of plain processes, which tests can hurt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.storage.pooled import Pooled
from harness.storage.spool_worker import Worker

WORK = (
    "import sys; from harness.storage.spool_worker import Worker;"
    "Worker(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]), patience=float(sys.argv[4]))()"
)


class LocalLauncher:
    """Workers as processes; `environment` is added to theirs."""

    name = "local"

    def __init__(self, *, patience: float = 300.0, **environment: str) -> None:
        self.processes: dict[str, subprocess.Popen] = {}
        self._patience, self._environment = patience, environment

    def start(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            words = [worker.folder, worker.name, worker.secret.hex(), str(self._patience)]
            self.processes[worker.name] = subprocess.Popen(
                [sys.executable, "-c", WORK, *words],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **self._environment},
            )

    def alive(self) -> set[str]:
        return {name for name, process in self.processes.items() if process.poll() is None}

    def waiting(self) -> dict[str, str]:
        return {}

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def pool(folder: Path, *, workers: int = 1, lost_after: float = 60.0, **launcher) -> Pooled:
    return Pooled(
        LocalLauncher(**launcher), workers, folder / "jobs" / "a", name="toy", lost_after=lost_after
    )


def eventually(condition: Callable[[], object], *, seconds: float = 120.0) -> None:
    """Wait until `condition` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.01)


def hurt_once(marker: Path, number: int) -> None:
    """The first process that comes here gets the signal `number`."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), number)


def squared(task: int) -> int:
    return task**2


def pid(task: int) -> int:
    return os.getpid()


def with_a_network(file: str) -> int:
    """Notes in `file` that a network is loaded, where this process has not done so."""
    from harness.storage.worker import kept_open

    def load() -> int:
        with open(file, "a") as notes:
            notes.write("loaded\n")
        return os.getpid()

    return kept_open(("network", file), load)


def written(folder: Path, number: int) -> None:
    """Makes an artifact of a few bytes."""
    (folder / "number.json").write_text(f"{number}")


def time_of(task: int) -> float:
    return time.time()


def naps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def killed_once(task: tuple[str, int]) -> int:
    marker, number = task
    if number == 1:
        hurt_once(Path(marker), signal.SIGKILL)
    return number**2


def stopped_once(task: tuple[str, int]) -> int:
    marker, number = task
    if number == 1:
        hurt_once(Path(marker), signal.SIGSTOP)
    return number**2


def counts_on(file: str, *, until: int = 30) -> int:
    """Counts to `until`, one a second, from where an earlier life stopped; how many lives that took."""
    numbers = Path(file)
    lives = numbers.with_suffix(".lives")
    lives.write_text(f"{int(lives.read_text()) + 1 if lives.exists() else 1}")
    reached = int(numbers.read_text()) if numbers.exists() else 0
    while reached < until:
        time.sleep(1.0)
        reached += 1
        numbers.write_text(f"{reached}")
    return int(lives.read_text())


def always_killed(task: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def says_how_far(task: int) -> int:
    import logging

    from harness.progress import track

    logging.getLogger("harness.toy").warning("task %d is odd", task)
    for _ in track(range(5), "stage 1"):
        time.sleep(0.6)
    return task


class Unreadable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def fails(task: str) -> None:
    from harness.errors import DataError

    if task == "data":
        raise DataError("no such voxel")
    if task == "unreadable":
        raise Unreadable("a", "b")
    if task == "exit":
        sys.exit(0)
    raise ZeroDivisionError("0")
