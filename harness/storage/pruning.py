"""What a store holds, and removing what is no longer needed from it.

Every process that has a store open holds a shared lock on it, and pruning an exclusive one: nothing is
removed under a run, and a run that starts meanwhile waits.  An artifact counts as used when a process
verified it, which leaves that time on its manifest.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import ConfigError, StoreError
from .disk import explained

CHECKPOINTS = "checkpoints"
"""Folder of fits that were stopped and can go on; listed and pruned as a stage."""

JOBS = "jobs"
"""Folder of a store with what passes between a run and its workers on a cluster, and their logs."""

_NO_STAGES = ("tmp", JOBS)
_LOCK = "store.json"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Held:
    """An artifact, or the checkpoints of a fit: bytes on disk, and when it was last used (seconds, epoch)."""

    stage: str
    key: str
    folder: Path
    size: int
    used: float


def inventory(root: Path) -> list[Held]:
    """Everything in the store at `root`, without reading its content."""
    if not (root / "store.json").is_file():
        raise StoreError(f"there is no store at {root}; a run makes one, --store names another")
    return [
        Held(stage.name, folder.name, folder, _size(folder), _last_used(folder))
        for stage in sorted(root.iterdir())
        if stage.is_dir() and stage.name not in _NO_STAGES
        for folder in sorted(stage.glob("*" if stage.name == CHECKPOINTS else "*/*"))
        if folder.is_dir()
    ]


def chosen(
    held: Sequence[Held],
    *,
    older_than: float | None,
    stages: Collection[str] = (),
    kept: Collection[str] = (),
    now: float | None = None,
) -> list[Held]:
    """Those of `held` that were not used for `older_than` seconds, of `stages` if any are named, and whose
    key is not among `kept`."""
    now = time.time() if now is None else now
    return [
        artifact
        for artifact in held
        if (not stages or artifact.stage in stages)
        and artifact.key not in kept
        and (older_than is None or now - artifact.used > older_than)
    ]


def fitted_in(runs: Path) -> set[str]:
    """Keys of the fitted models that the run folder `runs`, or the run folders in it, name."""
    files = [runs / "run.json"] if (runs / "run.json").is_file() else sorted(runs.glob("*/run.json"))
    if not files:
        raise ConfigError(f"{runs} holds no run.json; give a folder that 'harness run' wrote, or one of such")
    keys: set[str] = set()
    for file in files:
        try:
            keys |= set((json.loads(file.read_text()).get("artifacts") or {}).values())
        except (ValueError, AttributeError):
            raise ConfigError(f"{file} is damaged; type the command of that run again") from None
    return keys


def remove(root: Path, doomed: Sequence[Held]) -> int:
    """Remove `doomed` from the store at `root` that no other process uses; the bytes that were freed."""
    freed = 0
    with _alone(root), explained(root):
        for artifact in doomed:
            trash = root / "tmp" / f"pruned-{uuid.uuid4().hex}"
            # Renamed first: an artifact exists whole or not at all, also where this process is killed.
            with contextlib.suppress(FileNotFoundError):
                os.replace(artifact.folder, trash)
                freed += artifact.size
        for trash in (root / "tmp").glob("pruned-*"):
            shutil.rmtree(trash, ignore_errors=True)
    return freed


def in_use(root: Path) -> IO[bytes] | None:
    """Hold the shared lock of the store at `root` for as long as what is returned lives.

    None where there are no locks: a store that may only be read, or a file system without them.
    """
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        file = open(root / _LOCK, "rb")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_SH)
        return file
    return None


def mark_used(folder: Path) -> None:
    """Note that the artifact in `folder` is used now."""
    with contextlib.suppress(OSError):  # a store that may only be read
        os.utime(folder / _MANIFEST)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    import fcntl

    with explained(root), open(root / _LOCK, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"the store {root} is in use by a run; nothing was removed. Type it again when that has ended"
            ) from None
        yield


def _size(folder: Path) -> int:
    """Bytes on disk, in the blocks that files take up where the system says."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            stat = file.lstat()
            total += getattr(stat, "st_blocks", 0) * 512 or stat.st_size
    return total


def _last_used(folder: Path) -> float:
    """Of an artifact when it was verified last; of checkpoints when one was written last."""
    manifest = folder / _MANIFEST
    files = [manifest] if manifest.is_file() else [folder, *folder.rglob("*")]
    times = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            times.append(file.stat().st_mtime)
    return max(times, default=0.0)
