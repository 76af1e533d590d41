"""What one process keeps open between tasks: stores, backbones, decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .store import Store

_OPEN: dict[tuple[str, ...], Any] = {}
_LIMIT = 3


def kept_open(name: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """The object called `name`, made on first use; only the last few stay open.

    Tasks arrive sorted by decoder or backbone, so a worker loads each of them once.
    """
    if name not in _OPEN:
        while len(_OPEN) >= _LIMIT:
            _OPEN.pop(next(iter(_OPEN)))
        _OPEN[name] = make()
    return _OPEN[name]


_STORES: dict[str, Store] = {}


def store_at(root: str) -> Store:
    """This process's view of the store at `root`."""
    if root not in _STORES:
        _STORES[root] = Store(root)
    return _STORES[root]


def forget() -> None:
    """Close everything; used when a run ends and by tests."""
    _OPEN.clear()
    _STORES.clear()
