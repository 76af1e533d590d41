"""What one process keeps open between tasks: stores, backbones, decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_OPEN: dict[tuple[str, ...], Any] = {}
_LIMIT = 3

_FOR_GOOD: dict[tuple[str, ...], Any] = {}


def kept_open(name: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """The object called `name`, made on first use; only the last few stay open.

    Tasks arrive sorted by decoder or backbone, so a worker loads each of them once.
    """
    if name not in _OPEN:
        while len(_OPEN) >= _LIMIT:
            _OPEN.pop(next(iter(_OPEN)))
        _OPEN[name] = make()
    return _OPEN[name]


def kept_for_good(name: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """The object called `name`, made on first use, for what is small: stays until the process ends."""
    if name not in _FOR_GOOD:
        _FOR_GOOD[name] = make()
    return _FOR_GOOD[name]


def forget() -> None:
    """Close everything; used by tests."""
    _OPEN.clear()
    _FOR_GOOD.clear()
