"""Tasks in a folder that several machines share: one process hands them out, workers elsewhere take them.

A cluster has a shared file system and seldom an open port, so all that passes between machines is files, each
written under another name and renamed: it is there whole or not at all. ::

    tasks/000001        to be done; whoever renames it has it
    claimed/000001@w3   worker w3 is at it
    answers/000001      what came of it
    workers/w3.json     who w3 is, how far it is, and a number that grows while it lives
    driver.json         the same of the process that hands out, and what it was called with
    closed              nothing more will come
    shared/             arrays that tasks refer to
    events.log          what happened to workers, for people

No clock is compared with that of another machine: who lives is told by a number that grows, watched on the
watcher's own clock.  Tasks and answers are signed (:mod:`.signed`), and the folder is its owner's alone.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .signed import signed, verified

BEAT = 1.0
"""Seconds between two signs of life."""

FOLDERS = ("tasks", "claimed", "answers", "workers", "shared")

LOG = "events.log"


@dataclass(frozen=True)
class Life:
    """A process as the others see it.

    beats : grows while it lives.  life : another one after a restart under the same name.
    task : number of the task it is at, -1 where there is none; what, done, total : how far it is.
    carried_out : tasks so far.
    """

    name: str
    life: str
    host: str
    pid: int
    beats: int = 0
    job: str = ""
    task: int = -1
    what: str = ""
    done: int = 0
    total: int = 0
    carried_out: int = 0
    ended: bool = False


@dataclass
class Watch:
    """Seconds, on this process's own clock, since each of several numbers last changed."""

    clock: Callable[[], float] = time.monotonic
    _last: dict[str, tuple[Any, float]] = field(default_factory=dict)

    def silent(self, name: str, number: Any) -> float:
        """For how long `number`, that of `name`, has been the same; 0.0 when it is new."""
        now = self.clock()
        last = self._last.get(name)
        if last is None or last[0] != number:
            self._last[name] = (number, now)
            return 0.0
        return now - last[1]


class Spool:
    """One such folder; safe for any number of processes at once.

    secret : with which tasks and answers are signed; whoever has none can look, and take nothing.
    """

    def __init__(self, folder: Path, secret: bytes = b"") -> None:
        self.folder, self._secret = folder, secret

    def create(self) -> None:
        """Make the folder, which nobody but its owner can read."""
        self.folder.mkdir(parents=True, mode=0o700)
        for name in FOLDERS:
            (self.folder / name).mkdir()

    def hand_out(self, number: int, task: Any) -> None:
        """Put `task` where workers see it."""
        self._put("tasks", _name(number), signed(task, self._secret))

    def withdraw(self, number: int) -> None:
        """Take a task back that nobody has begun."""
        (self.folder / "tasks" / _name(number)).unlink(missing_ok=True)

    def claim(self, worker: str) -> int | None:
        """The number of the first task that nobody else takes; None where there is none."""
        for name in self._listed("tasks"):
            try:
                os.rename(self.folder / "tasks" / name, self.folder / "claimed" / f"{name}@{worker}")
            except FileNotFoundError:  # another one was faster
                continue
            return int(name)
        return None

    def task(self, number: int, worker: str) -> Any:
        """A task that `worker` has taken."""
        return self._loaded(self.folder / "claimed" / f"{_name(number)}@{worker}")

    def claimed(self) -> Iterator[tuple[int, str]]:
        """Number and worker of each task that is under way."""
        for name in self._listed("claimed"):
            number, _, worker = name.partition("@")
            yield int(number), worker

    def give_back(self, worker: str) -> list[int]:
        """Put what `worker` had taken where the others see it; the numbers of these tasks."""
        given = []
        for number, owner in self.claimed():
            if owner != worker:
                continue
            name = _name(number)
            try:
                os.rename(self.folder / "claimed" / f"{name}@{worker}", self.folder / "tasks" / name)
            except FileNotFoundError:  # it was finished meanwhile
                continue
            given.append(number)
        return given

    def answer(self, number: int, worker: str, answer: Any) -> None:
        """Say what came of a task."""
        self._put("answers", _name(number), signed(answer, self._secret))
        (self.folder / "claimed" / f"{_name(number)}@{worker}").unlink(missing_ok=True)

    def answers(self) -> list[int]:
        """Numbers of tasks that were carried out and not collected."""
        return [int(name) for name in self._listed("answers")]

    def collect(self, number: int) -> Any:
        """What came of a task, which is then forgotten."""
        file = self.folder / "answers" / _name(number)
        answer = self._loaded(file)
        file.unlink()
        return answer

    def waiting(self) -> list[int]:
        """Numbers of tasks that nobody has begun."""
        return [int(name) for name in self._listed("tasks")]

    def show(self, life: Life) -> None:
        """Let the others see this worker."""
        self._put("workers", f"{life.name}.json", json.dumps(asdict(life)).encode())

    def workers(self) -> list[Life]:
        """All workers that ever showed themselves, by name."""
        seen = []
        for name in self._listed("workers"):
            try:
                seen.append(Life(**json.loads((self.folder / "workers" / name).read_text())))
            except (FileNotFoundError, ValueError, TypeError):
                continue
        return seen

    def write_driver(self, words: dict[str, Any]) -> None:
        """Let the others see the process that hands out."""
        self._put("", "driver.json", json.dumps(words, indent=1).encode())

    def driver(self) -> dict[str, Any]:
        """What :meth:`write_driver` wrote; empty where it was removed."""
        try:
            return json.loads((self.folder / "driver.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def close(self) -> None:
        """Send workers home."""
        self._put("", "closed", b"")

    def clear(self) -> None:
        """Remove all that was passed on; logs and the last words of workers stay."""
        for name in ("tasks", "claimed", "answers", "shared"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def is_closed(self) -> bool:
        """Whether nothing more will come."""
        return (self.folder / "closed").exists() or not self.folder.is_dir()

    def note(self, line: str) -> None:
        """Add a line, with the time of this machine, to the log for people."""
        with open(self.folder / LOG, "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def log(self) -> list[str]:
        """The lines of :meth:`note`."""
        try:
            return (self.folder / LOG).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _put(self, folder: str, name: str, content: bytes) -> None:
        place = self.folder / folder
        temporary = place / f".{name}.{uuid.uuid4().hex}"
        try:
            temporary.write_bytes(content)
            os.replace(temporary, place / name)
        finally:
            temporary.unlink(missing_ok=True)

    def _listed(self, folder: str) -> list[str]:
        place = self.folder / folder
        try:
            # A network file system may show a folder as it was some seconds ago, unless it is changed here.
            os.utime(place)
            return sorted(name for name in os.listdir(place) if not name.startswith("."))
        except FileNotFoundError:  # closed and removed meanwhile
            return []

    def _loaded(self, file: Path) -> Any:
        return verified(file.read_bytes(), self._secret, origin=str(file))


def _name(number: int) -> str:
    return f"{number:06d}"
