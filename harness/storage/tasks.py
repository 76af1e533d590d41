"""A task where it is carried out: what came of it, what was warned of on the way, and how far it is."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Sequence

from ..progress import Listener, listening
from .executors import Outcome, Task, contained

Answer = tuple[Outcome, Sequence[logging.LogRecord]]
"""What came of a task, and the warnings on the way."""


class _Kept(logging.Handler):
    """Keeps what is warned of, ready to be sent to another process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        sent = copy.copy(record)
        sent.msg, sent.args, sent.exc_info, sent.exc_text = record.getMessage(), None, None, None
        self.records.append(sent)


def carried_out(
    function: Callable[[Task], Outcome], task: Task, listener: Listener | None
) -> Answer[Outcome]:
    """In a worker: ``function(task)``; `listener` hears how far it is."""
    kept, root = _Kept(), logging.getLogger()
    root.addHandler(kept)
    try:
        with listening(listener) if listener is not None else contextlib.nullcontext():
            return contained(function, task), kept.records
    finally:
        root.removeHandler(kept)


def outcome_of(answer: Answer[Outcome]) -> Outcome:
    """What came of a worker's task; its warnings are repeated here, where they are shown and heard."""
    outcome, records = answer
    for record in records:
        logging.getLogger(record.name).handle(record)
    return outcome
