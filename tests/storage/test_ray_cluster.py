"""Workers as tasks of a real Ray of two nodes: on both, and one goes."""

from __future__ import annotations

import sys
import threading

import pytest
from commands import HELPERS
from local_workers import eventually, killed_once, naps, squared

from harness.errors import ConfigError, WorkerDied
from harness.storage.opening import open_executor
from harness.storage.ray_cluster import RayLauncher
from harness.storage.spool import Spool
from harness.storage.spool_worker import Worker


def test_without_ray_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'fmri-harness\[ray\]'"):
        open_executor("ray", workers=1, device="cpu", root=tmp_path)


class GoneRay:
    """Ray whose cluster goes when `goes` is called; what is then raised is of Ray's many types."""

    def __init__(self, goes: str, problem: Exception) -> None:
        self._goes, self._problem = goes, problem
        self.calls: list[str] = []

    def is_initialized(self) -> bool:
        return False

    def __getattr__(self, name: str):
        def call(*given, **how):
            self.calls.append(name)
            if name == self._goes:
                raise self._problem
            return ([], []) if name == "wait" else self

        return call


GONE = {
    "init": (
        ConfigError,
        r"no Ray cluster answers at 10.0.0.1:1 \(.*\). Type on its first machine: ray start",
    ),
    "remote": (WorkerDied, r"Ray starts no workers \(.*\). What was finished is kept: run the same command"),
    "wait": (WorkerDied, r"Ray does not say which workers are there \(.*\). What was finished is kept"),
    "cancel": (None, ""),
    "shutdown": (None, ""),
}


@pytest.mark.parametrize("problem", [ConnectionError, RuntimeError, TimeoutError, OSError])
@pytest.mark.parametrize("goes", GONE)
def test_a_cluster_that_goes_at_any_moment_is_said_in_one_line_or_needs_no_word(goes, problem, monkeypatch):
    gone = GoneRay(goes, problem("GCS does not answer\nTraceback (most recent call last):\n  File"))
    monkeypatch.setitem(sys.modules, "ray", gone)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:1")
    launcher = RayLauncher(device="cpu")
    kind, words = GONE[goes]

    def whole_life():
        try:
            launcher.start([Worker("folder", "w0", b"")])
            assert launcher.alive() == {"w0"}
        finally:
            launcher.stop()

    if kind is None:
        whole_life()
    else:
        with pytest.raises(kind, match=words) as raised:
            whole_life()
        assert len(str(raised.value).splitlines()) == 1
        assert f"{problem.__name__}: GCS does not answer)" in str(raised.value)
        assert "Traceback" not in str(raised.value)
    assert goes in gone.calls


def test_without_a_cluster_another_executor_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", GoneRay("init", RuntimeError("no shared memory")))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=r"Ray does not start on this machine .* Type --executor processes"):
        RayLauncher(device="cpu").start([])


@pytest.fixture
def workers(ray_cluster, tmp_path, monkeypatch):
    """An executor of two workers, one on each node."""
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.address)
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    executor = open_executor("ray", workers=2, device="cpu", root=tmp_path, run="toy", lost_after=20.0)
    yield executor
    executor.close(wait=False)


def log_of(folder) -> str:
    (place,) = (folder / "jobs").iterdir()
    return "\n".join(Spool(place).log())


@pytest.mark.cluster
def test_tasks_come_back_and_a_killed_worker_costs_its_task_alone(workers, tmp_path):
    assert sorted(workers.map(squared, range(8))) == [n**2 for n in range(8)]
    tasks = [(str(tmp_path / "mark"), number) for number in range(4)]
    assert sorted(workers.map(killed_once, tasks)) == [n**2 for n in range(4)]
    assert "ended in the middle of a task" in log_of(tmp_path)


@pytest.mark.cluster
def test_a_node_that_goes_takes_nothing_with_it(ray_cluster, workers, tmp_path):
    """Each of two workers naps on a node of its own; one goes in the middle of it, and a new one comes."""
    answers: list[float] = []
    thread = threading.Thread(target=lambda: answers.extend(workers.map(naps, [12.0, 12.5])))
    thread.start()
    eventually(lambda: list(tmp_path.glob("jobs/*/claimed/*")))
    eventually(lambda: len(list(tmp_path.glob("jobs/*/claimed/*"))) == 2)
    gone = next(node for node in ray_cluster.list_all_nodes() if not node.head)
    ray_cluster.remove_node(gone, allow_graceful=False)
    ray_cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    thread.join(300)
    assert sorted(answers) == [12.0, 12.5]
    assert "computed again by another one" in log_of(tmp_path)
