"""Workers as jobs of a real SLURM: killed, out of time, cancelled; and what is asked of it."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest
from commands import HELPERS
from local_workers import counts_on, eventually, killed_once, naps, squared

from harness.errors import ConfigError, HarnessError
from harness.settings import SlurmSettings
from harness.storage import pooled
from harness.storage.opening import open_executor
from harness.storage.slurm import SlurmLauncher
from harness.storage.spool import Spool


def test_without_slurm_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no sbatch on this machine; type the command on a login node"):
        open_executor("slurm", workers=1, device="cpu", root=tmp_path)


@pytest.mark.cluster
def test_what_sbatch_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = SlurmSettings(partition="gpu", account="lab", memory_gb=24, setup=("module load cuda",))
    launcher = SlurmLauncher(tmp_path, settings, device="cuda")
    asked = launcher._parameters(3)
    assert asked["gpus_per_node"] == 1
    assert (asked["slurm_partition"], asked["slurm_account"], asked["mem_gb"]) == ("gpu", "lab", 24)
    assert asked["slurm_setup"][-1] == "module load cuda"
    assert "export OMP_NUM_THREADS=1" in asked["slurm_setup"]
    assert "slurm_qos" not in asked
    assert "gpus_per_node" not in SlurmLauncher(tmp_path, SlurmSettings(), device="cpu")._parameters(1)


@pytest.fixture
def jobs(slurm, tmp_path, monkeypatch):
    """``jobs(workers=…)`` is an executor whose workers are jobs of SLURM."""
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    opened = []

    def make(**given):
        settings = SlurmSettings(**given.pop("slurm", {}))
        words = {"workers": 2, "device": "cpu", "root": tmp_path, "run": "toy", "lost_after": 20.0} | given
        opened.append(open_executor("slurm", slurm=settings, **words))
        return opened[-1]

    yield make
    for executor in opened:
        executor.close(wait=False)


def spool_in(folder: Path) -> Spool:
    (place,) = (folder / "jobs").iterdir()
    return Spool(place)


@pytest.mark.cluster
def test_tasks_are_an_array_of_jobs_whose_logs_stay(slurm, jobs, tmp_path):
    executor = jobs()
    assert sorted(executor.map(squared, range(8))) == [n**2 for n in range(8)]
    workers = spool_in(tmp_path).workers()
    assert {re.sub(r"^\d+", "A", worker.job) for worker in workers} <= {"A_0", "A_1"}
    executor.close()
    eventually(lambda: not slurm.call("squeue", "--noheader").strip())
    assert list((spool_in(tmp_path).folder / "logs").glob("*.err"))


@pytest.mark.cluster
def test_a_killed_job_costs_its_task_alone(jobs, tmp_path):
    executor = jobs()
    tasks = [(str(tmp_path / "mark"), number) for number in range(4)]
    assert sorted(executor.map(killed_once, tasks)) == [n**2 for n in range(4)]
    log = "\n".join(spool_in(tmp_path).log())
    assert "ended in the middle of a task; task 2 is computed again by another one" in log
    assert "1 of 2 workers are gone" in log


@pytest.mark.cluster
def test_a_job_whose_time_is_up_is_queued_again_and_goes_on(jobs, tmp_path):
    """SLURM signals when a minute's walltime has 50 s left; the task takes longer than the 10 s before."""
    executor = jobs(workers=1, slurm={"minutes": 1, "warn_seconds": 50})
    (lives,) = executor.map(counts_on, [str(tmp_path / "so far")])
    assert lives >= 2, "it was not stopped"
    assert "was stopped and has started again; its task goes on" in "\n".join(spool_in(tmp_path).log())


@pytest.mark.cluster
def test_a_node_that_goes_down_loses_nothing(slurm, jobs, tmp_path):
    executor = jobs()
    answers: list[float] = []
    thread = threading.Thread(target=lambda: answers.extend(executor.map(naps, [20.0, 1.0, 1.0])))
    thread.start()
    spool = spool_in_time(tmp_path)
    eventually(lambda: any(worker.task == 1 for worker in spool.workers()))
    slurm.set_node("down")
    time.sleep(2)
    slurm.set_node("resume")
    until = time.monotonic() + 300
    while thread.is_alive() and time.monotonic() < until:
        thread.join(5)
        # SLURM drains a node that is back before what ran there has ended, for "Duplicate jobid".
        if "DRAIN" in slurm.call("scontrol", "show", "node", slurm.host):
            slurm.set_node("resume")
    assert sorted(answers) == [1.0, 1.0, 20.0]
    log = "\n".join(spool.log())
    assert "goes on" in log or "computed again" in log


@pytest.mark.cluster
def test_why_a_worker_waits_is_told_and_the_hint_starts_it(slurm, jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(pooled, "PATIENCE", 0.0)
    slurm.set_node("drain")
    executor = jobs(workers=1)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.extend(executor.map(squared, [3])))
    thread.start()
    spool = spool_in_time(tmp_path)
    eventually(lambda: "waiting for slurm to start w0: " in "\n".join(spool.log()))
    assert re.search("start w0: .*(DRAINED|not available)", "\n".join(spool.log()))
    (job,) = slurm.call("squeue", "--noheader", "--array", "--format=%i").split()
    slurm.call("scontrol", "hold", job)
    slurm.set_node("resume")
    eventually(lambda: "Type: " in "\n".join(spool.log()))
    hint = "\n".join(spool.log()).partition("Type: ")[2].splitlines()[0]
    assert answers == []
    slurm.call(*hint.split())
    thread.join(300)
    assert answers == [9]


def spool_in_time(folder: Path) -> Spool:
    eventually(lambda: list((folder / "jobs").glob("*/driver.json")))
    return spool_in(folder)


@pytest.mark.cluster
def test_what_slurm_refuses_is_one_line(jobs):
    with pytest.raises(
        HarnessError, match=r"SLURM took no job: .*invalid partition.*--set run\.slurm\.partition"
    ):
        list(jobs(slurm={"partition": "absent"}).map(squared, [1]))
