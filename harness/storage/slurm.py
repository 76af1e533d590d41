"""Workers as jobs of SLURM, submitted as one array through submitit (extra ``slurm``).

Before a job's time is up, SLURM signals it; the worker then gives its task back and is queued again under the
same name.  A fit goes on from its checkpoint, everything else from its last finished shard.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, HarnessError
from ..settings import SlurmSettings
from .executors import THREADS
from .spool_worker import Worker

logger = logging.getLogger(__name__)

REQUEUES = 1000
"""Times that one worker may reach its walltime; submitit counts them."""

HELD = "held"
"""In SLURM's reason for a job that it does not start before somebody says so."""

IN_QUEUE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "RESIZING", "STOPPED")


class _Job:
    """What submitit calls on a node, and asks when SLURM says that the time is up."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self) -> int:
        return self._worker()

    def checkpoint(self) -> Any:
        """Have this job queued again."""
        import submitit

        self._worker.leave()
        return submitit.helpers.DelayedSubmission(self)


class SlurmLauncher:
    """One array of jobs for all workers that are started together; logs in `logs`.

    Raises
    ------
    ConfigError
        There is no SLURM here, or no submitit.
    """

    name = "slurm"

    def __init__(self, logs: Path, settings: SlurmSettings, *, device: str) -> None:
        if shutil.which("sbatch") is None:
            raise ConfigError(
                "--executor slurm: there is no sbatch on this machine; type the command on a login node of "
                "the cluster, or --executor processes here"
            )
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise ConfigError(
                "--executor slurm needs submitit. Type: pip install 'fmri-harness[slurm]'"
            ) from None
        self._logs, self._settings, self._device = logs, settings, device
        self._jobs: dict[str, str] = {}  # job, as in 12_0 -> worker
        self._waiting: dict[str, str] = {}  # worker -> why it waits

    def start(self, workers: Sequence[Worker]) -> None:
        """Queue them."""
        import submitit

        self._logs.mkdir(parents=True, exist_ok=True)
        executor = submitit.AutoExecutor(self._logs, cluster="slurm", slurm_max_num_timeout=REQUEUES)
        executor.update_parameters(**self._parameters(len(workers)))
        try:
            with executor.batch():
                jobs = [executor.submit(_Job(worker)) for worker in workers]
        except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as problem:
            raise HarnessError(
                f"SLURM took no job: {' '.join(str(problem).split())}. Give what your cluster asks for, for "
                "example --set run.slurm.partition=NAME, --set run.slurm.account=NAME"
            ) from None
        self._jobs |= {job.job_id: worker.name for job, worker in zip(jobs, workers)}
        logger.info("SLURM has jobs %s", ", ".join(job.job_id for job in jobs))

    def alive(self) -> Collection[str] | None:
        """As ``squeue`` says; accounting, which many clusters lack, is not asked."""
        words = ["squeue", "--noheader", "--array", "--format=%i|%T|%r", f"--jobs={self._arrays()}"]
        try:
            asked = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as problem:
            logger.debug("squeue gave no answer: %s", problem)
            return None
        if asked.returncode and "Invalid job id" not in asked.stderr:
            logger.debug("squeue gave no answer: %s", asked.stderr)
            return None
        lines = [line.split("|", 2) for line in asked.stdout.splitlines()]
        queue = {self._jobs[job]: (job, state, reason) for job, state, reason in lines if job in self._jobs}
        self._waiting = {
            name: _why(job, reason)
            for name, (job, state, reason) in queue.items()
            if state == "PENDING" and reason != "None"
        }
        return {name for name, (_, state, _) in queue.items() if state in IN_QUEUE}

    def waiting(self) -> Mapping[str, str]:
        """SLURM's own reason, and what to type where a job is held."""
        return self._waiting

    def stop(self) -> None:
        """Cancel every job that is still there."""
        if self._jobs:
            words = ["scancel", *self._arrays().split(",")]
            try:
                subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
            except (OSError, subprocess.TimeoutExpired) as problem:
                logger.warning("%s gave no answer (%s); type it by hand", " ".join(words), problem)

    def _arrays(self) -> str:
        return ",".join(dict.fromkeys(job.partition("_")[0] for job in self._jobs))

    def _parameters(self, workers: int) -> dict[str, Any]:
        """Arguments of ``sbatch`` as submitit has them."""
        settings = self._settings
        gpu = self._device.partition(":")[0] == "cuda"
        named = {
            name: getattr(settings, name)
            for name in ("partition", "account", "qos", "constraint", "exclude")
            if getattr(settings, name)
        }
        return {
            "name": "harness",
            "timeout_min": settings.minutes,
            "cpus_per_task": settings.cpus,
            "slurm_array_parallelism": workers,
            "slurm_signal_delay_s": settings.warn_seconds,
            "slurm_setup": [*(f"export {name}=1" for name in THREADS), *settings.setup],
            **({"mem_gb": settings.memory_gb} if settings.memory_gb else {}),
            **({"gpus_per_node": 1} if gpu else {}),
            **{f"slurm_{name}": value for name, value in named.items()},
        }


def _why(job: str, reason: str) -> str:
    return f"{reason}. Type: scontrol release {job}" if HELD in reason.lower() else reason
