"""Files that commands write besides runs: checked before the work, written whole, folders made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError
from ..storage.disk import explained
from ..storage.store import write_atomic

ADVICE = "give another FILE"


def check_output(file: Path, *, endings: Sequence[str] = ()) -> None:
    """Refuse a `file` that could not be written, before anything is computed for it.

    endings : those that tell what is written; readers go by them.
    """
    example = f"predictions{endings[0]}" if endings else "table.csv"
    if file.is_dir():
        raise ConfigError(f"{file} is a folder; give a file in it, for example {file / example}")
    if endings and file.suffix.lower() not in endings:
        raise ConfigError(
            f"{file} has the ending '{file.suffix}', and what is written is {' or '.join(endings)}; give "
            f"{file.with_suffix(endings[0])}"
        )
    above = file.parent
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        raise ConfigError(f"{file} cannot be written: {above} is not a folder; {ADVICE}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"{file} cannot be written: you may not write in {above}; {ADVICE}")


def write_output(file: Path, content: bytes) -> None:
    """Write `content` to `file`, whole or not at all; folders that are not there are made."""
    with explained(file.parent, advice=ADVICE):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, content, advice=ADVICE)
