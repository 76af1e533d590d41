"""What a hostile file holds: objects that run something where a pickle is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class Runs:
    """Makes the file `marker` when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable, tuple]:
        return self.marker.touch, ()
