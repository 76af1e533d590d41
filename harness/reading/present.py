"""Whether a file that was named is there: one rule, and one line for what is absent, a folder or empty."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from ..errors import DataError, no_permission
from ..places import expanded


def existing_file(path: Path | str, *, expected: str = "", may_be_empty: bool = False) -> Path:
    """`path`, if it is a file that this user may read and that holds something.

    expected : what the file should be, for who named a folder.

    Raises
    ------
    DataError
        Says which it is; of an absent file, what lies beside it under a near name.
    """
    path = expanded(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file" + (f" ({expected})" if expected else ""))
    if not path.exists():
        raise DataError(f"there is no file {path}{_near(path)}")
    if not os.access(path, os.R_OK):
        raise no_permission(path)
    if path.is_file() and not path.stat().st_size and not may_be_empty:
        raise DataError(f"{path} is empty (0 bytes); copy or export it again")
    return path


def _near(path: Path) -> str:
    if path.is_symlink():
        return f": it is a link to {os.readlink(path)}, which is not there"
    try:
        beside = [file.name for file in path.parent.iterdir()]
    except OSError:
        return "" if path.parent.is_dir() else f", and no folder {path.parent}"
    near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
