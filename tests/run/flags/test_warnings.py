"""What plugins warn of while they work stands in run.json and the report, from whatever process it comes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from commands import TOYS, only_run

from harness.notices import Flag
from harness.storage.cached import Item, cached_map
from harness.storage.content import save_array
from harness.storage.executors import Inline
from harness.storage.processes import Processes
from harness.storage.store import Store

LAB = """
import logging, sys
sys.path.insert(0, {tests!r})
from toys import ToyBenchmark, ToyDecoder

class Lossy(ToyBenchmark):
    def load(self, subject):
        said = "3 training images are lost", {{"flag": "missing-training-images"}}
        logging.getLogger("harness.benchmarks.lab").warning(said[0], extra=said[1])
        return super().load(subject)

class Doubtful(ToyDecoder):
    def decode(self, responses, *, seeds):
        logging.getLogger(__name__).warning("some voxels look odd")
        return super().decode(responses, seeds=seeds)
"""


def warns(number):
    logging.getLogger("harness.lab").warning("number %d is odd", number, extra={"flag": "odd-number"})
    return 2 * number


def test_what_a_worker_warns_of_is_repeated_where_the_run_is(caplog):
    workers = Processes(2)
    try:
        assert sorted(workers.map(warns, [1, 3])) == [2, 6]
    finally:
        workers.close()
    warned = {(record.name, record.getMessage(), record.flag) for record in caplog.records}
    assert warned == {("harness.lab", f"number {k} is odd", "odd-number") for k in (1, 3)}


def warns_and_writes(folder, number):
    warns(number)
    save_array(folder, "value", np.array([number]))


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_what_a_cached_task_warned_of_stands_with_its_artifact(tmp_path, executor):
    opened = Inline() if executor == "inline" else Processes(1)
    items = [Item({"number": 5}, (5,)), Item({"number": 6}, (6,))]
    for _ in range(2):  # made, and found
        store = Store(tmp_path / "store")
        cached_map("toy", items, warns_and_writes, store=store, executor=opened)
        assert list(store.warned) == [Flag("odd-number", "warning", f"number {k} is odd") for k in (5, 6)]
    assert (store.computed["toy"], store.reused["toy"]) == (0, 2)
    opened.close()


@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_warnings_of_every_stage_are_flags_of_the_record_and_the_report(
    harness, tmp_path, toy_words, workers
):
    (tmp_path / "lab.py").write_text(LAB.format(tests=str(TOYS.parent)))
    plugins = ["--benchmark", "lab.py:Lossy", "--decoder", "lab.py:Doubtful"]
    words = [*toy_words[:-1], "pixcorr", *plugins, "--workers", workers]
    expected = {
        "missing-training-images": "3 training images are lost",
        "decode-warning": "some voxels look odd",
    }
    for more in (["--no-report"], []):  # also from the store
        harness("run", *words, *more)
        run = only_run(tmp_path)
        assert expected.items() <= {flag["name"]: flag["message"] for flag in run.info["flags"]}.items()
    page = (run.folder / "report.html").read_text()
    assert all(message in page for message in expected.values())
