"""Rounds of trouble: whatever happens to a run, the same command gives the bytes of an undisturbed one.

    python tests/faults/rounds.py [--rounds 20] [--seed 0] [--executors inline processes slurm ray]

Each round starts a run of the toy plugins on a store of its own, waits until some artifacts are there, does
one of the things below to it, types the same command until it succeeds, and compares every file of the store
and every table with an undisturbed run's.  SLURM and Ray are started on this machine where they are;
an executor that cannot be had is left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

HELPERS = Path(__file__).resolve().parent.parent / "helpers"
sys.path[:0] = [str(HELPERS)]

import pytest  # noqa: E402
from clusters import one_node_slurm, two_node_ray  # noqa: E402
from commands import TOY_WORDS, call_harness, content, kill_words  # noqa: E402

TRIES = 4


@dataclass
class Round:
    """A run of one executor in `folder`; `draw` says when and whom a fault meets."""

    folder: Path
    executor: str
    draw: random.Random
    environment: dict[str, str]
    cluster: object = None
    log_lines: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        more = [] if self.executor == "inline" else ["--workers", "2", "--set", "run.lost_after=10"]
        return [*kill_words(TOY_WORDS), "--executor", self.executor, *more]

    def start(self, **given) -> subprocess.Popen:
        environment = {**os.environ, **self.environment, **given.pop("environment", {})}
        environment |= {"HARNESS_STORE": str(self.folder / "store"), "COLUMNS": "200"}
        self.folder.mkdir(exist_ok=True)
        program = Path(sys.executable).with_name("harness")
        with open(self.folder / "log.txt", "ab") as log:
            return subprocess.Popen(
                [program, *self.words], cwd=self.folder, env=environment, stdout=log, stderr=log, **given
            )

    def started(self, **given) -> subprocess.Popen:
        """A run that has written some of its artifacts."""
        process = self.start(**given)
        moment = self.draw.randrange(1, 60)
        while process.poll() is None and len(self.artifacts()) < moment:
            time.sleep(0.01)
        return process

    def artifacts(self) -> list[Path]:
        return sorted(self.folder.glob("store/*/*/*/manifest.json"))

    def workers(self, process: subprocess.Popen) -> list[int]:
        """Processes that carry out tasks for `process`."""
        if self.executor == "processes":
            return list(children(process.pid))
        files = self.folder.glob("store/jobs/*/workers/*.json")
        lives = [json.loads(file.read_text()) for file in files]
        return [life["pid"] for life in lives if not life["ended"] and Path(f"/proc/{life['pid']}").exists()]

    def one_worker(self, process: subprocess.Popen) -> int | None:
        """One of them; None where the run was faster."""
        while process.poll() is None:
            if alive := self.workers(process):
                return self.draw.choice(alive)
            time.sleep(0.02)
        return None


def children(pid: int) -> Iterator[int]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            words = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"spawn_main" in words:
                yield child


def command_killed(round: Round) -> None:
    process = round.started()
    process.kill()
    process.wait()


def worker_killed(round: Round) -> None:
    process = round.started()
    if (pid := round.one_worker(process)) is not None:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def worker_hangs(round: Round) -> None:
    process = round.started()
    pid = round.one_worker(process)
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)
    process.wait()
    if pid is not None and Path(f"/proc/{pid}").exists():
        os.kill(pid, signal.SIGCONT)


def walltime_reached(round: Round) -> None:
    """What SLURM sends before a job's time is up."""
    job_cancelled(round, "--signal=USR2")


def job_cancelled(round: Round, *how: str) -> None:
    process = round.started()
    if round.one_worker(process) is not None:
        jobs = round.cluster.call("squeue", "--noheader", "--array", "--format=%i").split()
        if jobs:
            round.cluster.call("scancel", *how, round.draw.choice(jobs))
    process.wait()


def node_gone(round: Round) -> None:
    process = round.started()
    round.one_worker(process)
    if round.executor == "slurm":
        host = round.cluster.host
        round.cluster.call("scontrol", "update", f"nodename={host}", "state=down", "reason=round")
        time.sleep(1)
        # Its daemon may still have a job that comes back ("Duplicate jobid"): the node is then drained, which
        # whoever keeps a cluster mends.
        while process.poll() is None:
            if round.cluster.call("sinfo", "--noheader", "--format=%t").startswith(("down", "dr")):
                round.cluster.call("scontrol", "update", f"nodename={host}", "state=resume")
            time.sleep(2)
    else:
        gone = next(node for node in round.cluster.list_all_nodes() if not node.head)
        round.cluster.remove_node(gone, allow_graceful=False)
        round.cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    process.wait()


def artifact_altered(round: Round) -> None:
    round.start().wait()
    folder = round.draw.choice(round.artifacts()).parent
    file = round.draw.choice([file for file in folder.rglob("*") if file.is_file()])
    whole = bytearray(file.read_bytes())
    if whole and round.draw.random() < 0.5:
        whole[round.draw.randrange(len(whole))] ^= 1
    else:
        whole = whole[: len(whole) // 2]
    file.write_bytes(whole)


def disk_full(round: Round) -> None:
    """No file may become larger than some kilobytes."""
    limit = round.draw.choice([2_000, 20_000, 100_000])
    round.start(
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    ).wait()


def two_at_once(round: Round) -> None:
    both = [round.started(), round.start()]
    for process in both:
        process.wait()
    round.log_lines.append(f"exit codes {[process.returncode for process in both]}")


def clock_off(round: Round) -> None:
    """One run of a machine that is a day behind or ahead is stopped, and another one goes on."""
    skew = str(round.draw.choice([-86_400, 86_400]))
    path = f"{HELPERS / 'skewed_clock'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    process = round.started(environment={"PYTHONPATH": path, "SKEW": skew})
    process.kill()
    process.wait()


FAULTS: dict[Callable[[Round], None], tuple[str, ...]] = {
    command_killed: ("inline", "processes", "slurm", "ray"),
    worker_killed: ("processes", "slurm", "ray"),
    worker_hangs: ("slurm", "ray"),
    walltime_reached: ("slurm",),
    job_cancelled: ("slurm",),
    node_gone: ("slurm", "ray"),
    artifact_altered: ("inline", "processes", "slurm", "ray"),
    disk_full: ("inline", "processes"),
    two_at_once: ("inline", "processes", "slurm", "ray"),
    clock_off: ("inline", "processes"),
}


def settle(round: Round, expected: dict[str, str]) -> str:
    """Type the command until it succeeds; what is wrong in the end, or nothing."""
    for _ in range(TRIES):
        code = round.start().wait()
        if code == 0:
            break
    log = (round.folder / "log.txt").read_text()
    round.log_lines += [line for line in dict.fromkeys(log.splitlines()) if tells(line)]
    if code:
        return f"the command still fails: {log.splitlines()[-1:]}"
    if "Traceback" in log:
        round.log_lines += log[log.index("Traceback") :].splitlines()[:40]
        return "a traceback"
    got = content(round.folder)
    if missing := expected.keys() - got.keys():
        return f"missing: {sorted(missing)[:3]}"
    if wrong := {name for name in expected if got[name] != expected[name]}:
        return f"other bytes: {sorted(wrong)[:3]}"
    return ""


def tells(line: str) -> bool:
    return any(
        word in line for word in ("worker", "altered", "no space", "interrupted", "error", "computed:")
    )


def clusters_of(names: list[str], stack: ExitStack) -> dict[str, tuple[dict[str, str], object]]:
    """Executor -> (environment of its commands, the cluster)."""
    opened: dict[str, tuple[dict[str, str], object]] = {}
    for name in names:
        try:
            if name == "slurm":
                slurm = stack.enter_context(one_node_slurm())
                opened[name] = slurm.environment, slurm
            elif name == "ray":
                cluster = stack.enter_context(two_node_ray())
                opened[name] = {"RAY_ADDRESS": cluster.address}, cluster
            else:
                opened[name] = {}, None
        except pytest.skip.Exception as problem:
            print(f"{name} is left out: {problem}")
    return opened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executors", nargs="+", default=["inline", "processes", "slurm", "ray"])
    given = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory(prefix="rounds-") as name, ExitStack() as stack:
        place, draw = Path(name), random.Random(given.seed)
        opened = clusters_of(given.executors, stack)
        (place / "undisturbed").mkdir()
        call_harness(place / "undisturbed", *kill_words(TOY_WORDS), "--executor", "inline")
        expected = content(place / "undisturbed")
        pairs = [(fault, ex) for fault, several in FAULTS.items() for ex in several if ex in opened]
        draw.shuffle(pairs)
        for number in range(given.rounds):
            fault, executor = pairs[number % len(pairs)]
            environment, cluster = opened[executor]
            here = Round(place / f"{number}", executor, draw, environment, cluster)
            started = time.monotonic()
            fault(here)
            problem = settle(here, expected)
            failures += bool(problem)
            what, took = fault.__name__.replace("_", " "), time.monotonic() - started
            print(
                f"round {number + 1}: {executor}, {what}: {problem or 'as it was'} ({took:.0f} s)", flush=True
            )
            for line in here.log_lines:
                print(f"    {line.strip()[:180]}", flush=True)
            if not problem:
                shutil.rmtree(here.folder)
    print(f"{given.rounds - failures} of {given.rounds} rounds: nothing lost, nothing wrong")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
