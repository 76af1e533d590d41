"""Folders for work that can go on after a kill, which several processes may do at once."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def kept_until_done(folder: Path) -> Iterator[Path]:
    """`folder`, made if need be; removed at a clean end, and left where the work is stopped.

    Two runs on one store, or a worker that was thought to be lost, may be at the same work.  Then the last
    one removes it: nobody's folder goes while it writes there.  Where the file system has no locks, the first
    does.
    """
    with contextlib.ExitStack() as stack:
        lock = _shared(folder.with_name(f"{folder.name}.lock"), stack)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        if lock is None or _alone(lock):
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _shared(file: Path, stack: contextlib.ExitStack) -> IO[bytes] | None:
    """A shared lock on `file`, until `stack` is closed; None where there are none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        while True:
            lock = stack.enter_context(open(file, "ab"))  # noqa: SIM115
            fcntl.flock(lock, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(file)):
                    return lock
            # Whoever was the last one before removed it between these lines.
    return None


def _alone(lock: IO[bytes]) -> bool:
    """Whether nobody else holds it; then nobody can get it any more."""
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
