"""The executor that a run asks for, by name."""

from __future__ import annotations

import os
import socket
import time
import uuid
from pathlib import Path

from ..errors import HarnessError, suggest
from ..settings import EXECUTORS, SlurmSettings
from .executors import Executor, Inline
from .pruning import JOBS


def open_executor(
    name: str,
    *,
    workers: int,
    device: str,
    root: Path | None = None,
    run: str = "",
    slurm: SlurmSettings | None = None,
    lost_after: float = 60.0,
) -> Executor:
    """The executor called `name`, with `workers` workers that compute on `device`.

    root : of the store, on a file system that all machines share; for clusters.
    run : what is done, for who asks what goes on; lost_after : see :class:`.pooled.Pooled`.
    """
    if name == "inline":
        return Inline()
    if name == "processes":
        from .processes import Processes

        return Processes(workers, device=device)
    if name not in EXECUTORS or root is None:
        raise HarnessError(suggest(name, EXECUTORS, what="executor"))
    from .pooled import Launcher, Pooled
    from .ray_cluster import RayLauncher
    from .slurm import SlurmLauncher

    started = time.strftime("%Y%m%d-%H%M%S")
    folder = root / JOBS / f"{started}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    launcher: Launcher
    if name == "slurm":
        launcher = SlurmLauncher(folder / "logs", slurm or SlurmSettings(), device=device)
    else:
        launcher = RayLauncher(device=device)
    return Pooled(launcher, workers, folder, name=run, lost_after=lost_after)
