"""Progress inside workers, heard in the process that sent them their tasks.

All workers write to one pipe.  A message is shorter than what POSIX promises to write at once, so no lock is
needed that a killed worker could keep, and nothing that a task computes waits for whoever listens.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from ..progress import Listener

logger = logging.getLogger(__name__)

EVERY = 0.1
"""Seconds between two messages of one loop at least, but for its first and its last."""

LONGEST = 60
"""Characters of a name that are sent: 6 bytes each at most, of the 512 that a pipe takes at once."""


class Channel:
    """The end that hears: messages of a task go to the listener that it was given."""

    def __init__(self, context: BaseContext) -> None:
        self._reader, self.writer = context.Pipe(duplex=False)
        self._listeners: list[Listener] = []
        threading.Thread(target=self._hear, daemon=True).start()

    def number_of(self, listener: Listener | None) -> int:
        """What a task says to be heard by `listener`; -1 where nobody listens."""
        if listener is None:
            return -1
        if listener not in self._listeners:
            self._listeners.append(listener)
        return self._listeners.index(listener)

    def close(self) -> None:
        """Hear no more; what workers that are gone have said is still passed on."""
        self.writer.close()

    def _hear(self) -> None:
        while True:
            try:
                number, what, done, total = json.loads(self._reader.recv_bytes())
            except (EOFError, OSError):
                break
            try:
                self._listeners[number](what, done, total)
            except Exception:  # a pipe that nobody empties would stop the workers
                logger.debug("progress could not be shown", exc_info=True)
        self._reader.close()


class Speaker:
    """The end of a worker, a :data:`harness.progress.Listener` of what its task says."""

    def __init__(self, writer: Connection, number: int) -> None:
        self._writer, self._number = writer, number
        self._what, self._when = "", 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what == self._what and done < total and now - self._when < EVERY:
            return
        self._what, self._when = what, now
        try:
            self._writer.send_bytes(
                json.dumps([self._number, what[:LONGEST], int(done), int(total)]).encode()
            )
        except OSError:  # nobody is there any more
            self._number = -1
