"""The disk's own troubles: whether an error is one, and the line that says what to do about it.

Writers tell of a full disk in many ways: with an ``errno``, or with words alone (numpy counts what it wrote,
safetensors and sqlite quote the system, torch's archive finds its position wrong).  Whoever blames a
plugin or a metric for an error asks here first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..errors import HarnessError, StoreError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
NOT_A_FOLDER = (errno.ENOTDIR, errno.EEXIST)

_OUT_OF_SPACE = re.compile(
    r"no space left on device|disk quota exceeded|file too large|os error (28|122|27)\b|errno = (28|122|27)\b"
    # numpy's ndarray.tofile, so np.save
    r"|^\d+ requested and \d+ written$|^not enough free space to write \d+ bytes"
    r"|database or disk is full"  # sqlite
    # torch.save: the write that failed before is told by neither errno nor words
    r"|PytorchStreamWriter failed writing|enforce fail at inline_container.* unexpected pos",
    re.IGNORECASE,
)


def is_out_of_space(problem: BaseException) -> bool:
    """Whether `problem`, or what it was raised from, says that the disk or a quota is full."""
    return _cause(problem, _says_full) is not None


ANOTHER_FOLDER = "give another place with --store or --out"


@contextlib.contextmanager
def explained(place: Path | None, *, advice: str = ANOTHER_FOLDER) -> Iterator[None]:
    """Turn the disk's own errors into a :class:`StoreError` of one line that says what to do.

    place : the folder that is written to.  A file that may not be read or written elsewhere is no trouble of
        `place`, and its error passes; None says that nothing is known of the folder but that it may be full.
    advice : what can be done about the place, in the imperative.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as problem:
        if line := _explanation(problem, place, advice):
            raise StoreError(line) from problem
        raise


def put_in_place(fresh: Path, folder: Path) -> None:
    """Rename `fresh` to `folder`, whose content goes; of several processes that do so the last one stays."""
    while True:
        old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
        try:
            if folder.is_dir():
                os.rename(folder, old)
            os.rename(fresh, folder)
            return
        except OSError as problem:
            # Between two lines another process took the old one away, or put its own there.
            if problem.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST) or not fresh.is_dir():
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold `files` (path within it -> content) and nothing else, whole or not at all.

    Raises
    ------
    StoreError
        The disk is full, or `folder` cannot be written.
    """
    with explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        try:
            fresh.mkdir()
            for name, content in files.items():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                (fresh / name).write_bytes(content)
            put_in_place(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _explanation(problem: Exception, place: Path | None, advice: str) -> str:
    """The line for `problem`, met while writing under `place`; ``""`` when it is not the disk's."""
    if (full := _cause(problem, _says_full)) is not None:
        where = _elsewhere(full, place) or place
        return (
            f"no space left {f'under {where}' if where else 'on the disk'}; nothing half-written was kept. "
            f"Free some, or {advice}, and run the same command again: it resumes"
        )
    if not isinstance(problem, OSError) or place is None or _elsewhere(problem, place):
        return ""
    if problem.errno in NOT_WRITABLE:
        return f"{place} cannot be written ({problem.strerror}); {advice}"
    if problem.errno in NOT_A_FOLDER:
        return f"{place} is not a folder; {advice}"
    return ""


def _says_full(problem: BaseException) -> bool:
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.errno in NO_SPACE
    return not isinstance(problem, HarnessError) and bool(_OUT_OF_SPACE.search(str(problem)))


def _cause(problem: BaseException | None, holds: Callable[[BaseException], bool]) -> BaseException | None:
    """The first of `problem` and its causes of which `holds` is true."""
    while problem is not None:
        if holds(problem):
            return problem
        problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    return None


def _elsewhere(problem: BaseException, place: Path | None) -> Path | None:
    """The folder of the file that `problem` names, when that is neither under `place` nor above it."""
    name = getattr(problem, "filename", None)
    if not isinstance(name, str | bytes) or not name:
        return None
    file = Path(name.decode(errors="replace") if isinstance(name, bytes) else name).absolute()
    if place is None:
        return file.parent
    place = place.absolute()
    return None if file.is_relative_to(place) or place.is_relative_to(file) else file.parent
