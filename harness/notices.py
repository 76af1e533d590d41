"""Flags, and what is warned of on the way: what the terminal shows stands in the run's record too.

A warning is heard while a stage works and becomes a :class:`Flag`.  Its name is that of the stage, such as
``data-warning``, or the one it is logged with: ``logger.warning(text, extra={"flag": "zero-trials"})``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

OWN = "harness"
"""Logger of this package; it does not hand records on to its parents once the command line is set up."""


@dataclass(frozen=True)
class Flag:
    """level : ``info``, ``warning`` or ``alarm`` (the numbers do not mean what they seem to)."""

    name: str
    level: str
    message: str


class _Ear(logging.Handler):
    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self.flag_name, self.flags = name, []

    def emit(self, record: logging.LogRecord) -> None:
        level = "alarm" if record.levelno >= logging.ERROR else "warning"
        flag = Flag(getattr(record, "flag", self.flag_name), level, record.getMessage())
        if flag not in self.flags:
            self.flags.append(flag)


@contextmanager
def hearing_warnings(name: str, *, plugin: str = "") -> Iterator[list[Flag]]:
    """The flags of every warning in this block, called `name` where they have no name of their own.

    plugin : module of a plugin outside this package, whose own loggers are heard too.
    """
    ear = _Ear(name)
    package = plugin.partition(".")[0]
    with ExitStack() as stack:
        for logger in dict.fromkeys((OWN, package or OWN)):
            logging.getLogger(logger).addHandler(ear)
            stack.callback(logging.getLogger(logger).removeHandler, ear)
        yield ear.flags
