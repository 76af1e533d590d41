"""Paths as they are typed: the one type of every option and argument that names a file or folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..places import expanded


class UserPath(click.Path):
    """A :class:`pathlib.Path` with the home folder of ``~`` written out."""

    def __init__(self, **named: Any) -> None:
        super().__init__(path_type=Path, **named)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        return super().convert(expanded(value), param, context)
