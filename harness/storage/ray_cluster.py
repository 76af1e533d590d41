"""Workers as tasks of Ray (extra ``ray``), for who outgrows one machine and has no SLURM.

Ray starts workers and says which are gone; tasks pass through the folder that all machines share
(:mod:`.spool`), as everything in the store does.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Sequence
from typing import Any

from ..errors import ConfigError
from .executors import THREADS
from .spool_worker import Worker

logger = logging.getLogger(__name__)


class RayLauncher:
    """Workers on the cluster that ``RAY_ADDRESS`` names or that runs here, else on one of this machine alone.

    Raises
    ------
    ConfigError
        There is no Ray here.
    """

    name = "ray"

    def __init__(self, *, device: str) -> None:
        try:
            import ray
        except ImportError:
            raise ConfigError("--executor ray needs ray. Type: pip install 'fmri-harness[ray]'") from None
        self._ray: Any = ray
        self._gpus = int(device.partition(":")[0] == "cuda")
        self._running: dict[str, Any] = {}
        self._connected = False

    def start(self, workers: Sequence[Worker]) -> None:
        """Have each started where there is a free processor, or a free GPU for a run on CUDA."""
        self._connect()
        path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        run = self._ray.remote(_work).options(
            num_cpus=1,
            num_gpus=self._gpus,
            max_retries=0,  # the pool starts another one, and says so
            runtime_env={"env_vars": dict.fromkeys(THREADS, "1") | path},
        )
        for worker in workers:
            self._running[worker.name] = run.remote(worker)

    def alive(self) -> Collection[str]:
        """Those that have neither ended nor died with their node."""
        references = list(self._running.values())
        over, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        return {name for name, reference in self._running.items() if reference not in over}

    def stop(self) -> None:
        """End them, and leave the cluster to others."""
        for reference in self._running.values():
            with contextlib.suppress(Exception):  # it is over
                self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._connected:
            self._ray.shutdown()

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = os.environ.get("RAY_ADDRESS")
        try:
            self._ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except ConnectionError as problem:
            raise ConfigError(
                f"no Ray cluster answers at {address} ({problem}). Type on its first machine: ray start "
                "--head, or leave RAY_ADDRESS out"
            ) from None
        self._connected = True


def _work(worker: Worker) -> int:
    return worker()
