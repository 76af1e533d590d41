"""How much memory there is, and what claims more of it than that.

The head of a file says how large its arrays are, and a small file can claim anything, or hold terabytes of
one packed number.  What is to lie in memory as a whole is compared with what there is before it is read.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..errors import DataError

DEFLATE_AT_BEST = 1032
"""Bytes that deflate makes of one at most (zlib's technical details)."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says what a container may use (control groups, versions 2 and 1)."""


def memory() -> int:
    """Bytes that this machine has, or that its container may use."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for place in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # absent, or "max"
            most = min(most, int(Path(place).read_text()))
    return most


def require_room(claimed: int, *, what: str) -> None:
    """Raise :class:`DataError` where `claimed` bytes, of an array called `what`, do not fit into memory."""
    if claimed > (most := memory()):
        raise DataError(
            f"{what} claims {claimed / 1e9:,.1f} GB and this machine has {most / 1e9:,.1f} GB of memory; it "
            "is damaged, or too large to be read as a whole: save it as .npy, or unpacked in HDF5, which are "
            "read in parts"
        )
