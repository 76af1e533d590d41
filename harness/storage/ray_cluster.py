"""Workers as tasks of Ray (extra ``ray``), for who outgrows one machine and has no SLURM.

Ray starts workers and says which are gone; tasks pass through the folder that all machines share
(:mod:`.spool`), as everything in the store does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..errors import ConfigError, HarnessError, WorkerDied, what_happened
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
        with _in_a_sentence("starts no workers"):
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
        running = dict(self._running)  # another thread may start some meanwhile
        if not running:
            return set()
        with _in_a_sentence("does not say which workers are there"):
            over, _ = self._ray.wait(list(running.values()), num_returns=len(running), timeout=0)
        return {name for name, reference in running.items() if reference not in over}

    def waiting(self) -> Mapping[str, str]:
        """Ray says nothing of those for which no processor or GPU is free; see ``ray status``."""
        return {}

    def stop(self) -> None:
        """End them, and leave the cluster to others."""
        for reference in self._running.values():
            with contextlib.suppress(Exception):  # it is over
                self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._connected:
            try:
                self._ray.shutdown()
            except Exception:  # the cluster is gone, and all that was finished is in the store
                logger.debug("while leaving Ray", exc_info=True)

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # What becomes of a worker is said by the pool.  Ray would print the traceback of each that was ended
        # or lost its folder, when this process lets go of it.
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
        _quiet_threads()
        address = os.environ.get("RAY_ADDRESS")
        try:
            self._ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except Exception as problem:  # of many types: no answer, another version, too late, a wrong address
            logger.debug("while connecting to Ray", exc_info=True)
            reason = _first_line(problem)
            if address is None:
                raise ConfigError(
                    f"Ray does not start on this machine ({reason}). Type --executor processes instead"
                ) from None
            raise ConfigError(
                f"no Ray cluster answers at {address} ({reason}). Type on its first machine: ray start "
                "--head, or leave RAY_ADDRESS out"
            ) from None
        self._connected = True


def _work(worker: Worker) -> int:
    return worker()


@contextlib.contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """Whatever Ray raises as a :class:`WorkerDied` of one line, since a cluster may go at any moment."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as problem:
        logger.debug("Ray", exc_info=True)
        raise WorkerDied(
            f"Ray {what} ({_first_line(problem)}). What was finished is kept: run the same command again, "
            "when the cluster is there"
        ) from None


def _first_line(problem: Exception) -> str:
    return next(iter(what_happened(problem).strip().splitlines()))


_PRINTS = threading.excepthook


def _quiet_threads() -> None:
    """Threads of Ray that listen to a cluster end with it: that is no news for whoever sees the terminal."""

    def hook(ended: threading.ExceptHookArgs) -> None:
        if ended.thread is not None and ended.thread.name.startswith("ray_"):
            logger.debug("a thread of Ray ended", exc_info=ended.exc_value)
        else:
            _PRINTS(ended)

    threading.excepthook = hook
