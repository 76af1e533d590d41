"""A SLURM of one node and a Ray of two, on this machine alone, for tests; both end with them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REQUIRED = "HARNESS_CLUSTERS"
"""Where this variable is ``required``, a test that needs a cluster fails in place of being skipped."""

DAEMONS = ("munged", "slurmctld", "slurmd")

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=2
MinJobAge=2
SchedulerParameters=sched_interval=1
JobRequeue=1
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES OverSubscribe=FORCE:2 MaxTime=INFINITE State=UP
"""


class Slurm:
    """Its configuration in `folder`, and its daemons, which a test may end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, socket.gethostname()
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen] = {}

    def start(self, daemon: str) -> None:
        words = {
            "munged": [
                *("--foreground", "--force", f"--socket={self.folder}/munge/socket"),
                *(f"--key-file={self.folder}/munge/key", f"--pid-file={self.folder}/munge/pid"),
                *(f"--log-file={self.folder}/munge/log", f"--seed-file={self.folder}/munge/seed"),
            ],
            "slurmctld": ["-D", "-f", self.environment["SLURM_CONF"]],
            "slurmd": ["-D", "-f", self.environment["SLURM_CONF"]],
        }[daemon]
        self.daemons[daemon] = subprocess.Popen(
            [daemon_path(daemon), *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )

    def call(self, *words: str) -> str:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env={**os.environ, **self.environment}
        )
        return done.stdout

    def set_node(self, state: str) -> None:
        """``down`` or ``drain`` it, or ``resume`` its work."""
        self.call("scontrol", "update", f"nodename={self.host}", f"state={state}", "reason=test")

    def wait_until_idle(self) -> None:
        until = time.monotonic() + 120
        while "idle" not in self.call("sinfo", "--noheader", "--format=%t"):
            assert time.monotonic() < until, f"SLURM does not start; its logs lie in {self.folder}"
            time.sleep(0.1)

    def stop(self) -> None:
        self.call("scancel", "--user=root")
        until = time.monotonic() + 5
        while self.call("squeue", "--noheader").strip() and time.monotonic() < until:
            time.sleep(0.2)  # a step whose daemon is gone would stay for ever
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()


def daemon_path(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def one_node_slurm() -> Iterator[Slurm]:
    """A SLURM of this machine, or the test is skipped, or fails, with what is missing."""
    absent = [name for name in (*DAEMONS, "sbatch") if daemon_path(name) is None]
    if absent:
        without(f"no {', '.join(absent)}; Debian: apt-get install slurmctld slurmd slurm-client munge")
    if os.geteuid() != 0:
        without("SLURM's daemons are started as root")
    needed("submitit", extra="slurm")
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for part in ("state", "spool", "munge"):
            (folder / part).mkdir()
        folder.chmod(0o755)
        (folder / "munge").chmod(0o711)
        key = folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        text = CONFIGURATION.format(host=socket.gethostname(), folder=folder, ports=free_ports(2))
        (folder / "slurm.conf").write_text(text)
        slurm = Slurm(folder)
        try:
            for daemon in DAEMONS:
                slurm.start(daemon)
                time.sleep(0.5)
            slurm.wait_until_idle()
            yield slurm
        finally:
            slurm.stop()


@contextmanager
def two_node_ray() -> Iterator[object]:
    """A Ray cluster of two nodes with a processor each, or the test is skipped, or fails."""
    needed("ray", extra="ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    sizes = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=sizes)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        yield cluster
    finally:
        cluster.shutdown()


def needed(module: str, *, extra: str) -> None:
    try:
        __import__(module)
    except ImportError:
        without(f"{module} is not installed; pip install -e '.[{extra}]'")


def without(reason: str) -> None:
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{REQUIRED}=required, but {reason}")
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
