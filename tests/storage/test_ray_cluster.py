"""Workers as tasks of a real Ray of two nodes: on both, and one goes."""

from __future__ import annotations

import sys
import threading

import pytest
from commands import HELPERS
from local_workers import eventually, killed_once, naps, squared

from harness.errors import ConfigError
from harness.storage.opening import open_executor
from harness.storage.spool import Spool


def test_without_ray_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'fmri-harness\[ray\]'"):
        open_executor("ray", workers=1, device="cpu", root=tmp_path)


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
