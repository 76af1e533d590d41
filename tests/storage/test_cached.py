"""The one cached map: complete keys, parts, failures, any executor."""

from __future__ import annotations

import importlib
import shutil
import sys

import numpy as np
import pytest

from harness.errors import DataError
from harness.storage import identity
from harness.storage.cached import Failed, Item, cached, cached_map
from harness.storage.content import save_array
from harness.storage.executors import Inline
from harness.storage.processes import Processes
from harness.storage.store import Store


def doubled(folder, number):
    save_array(folder, "value", np.array([2 * number]))


def both(folders, number):
    for part, folder in folders.items():
        save_array(folder, "value", np.array([number * {"one": 1, "ten": 10}[part]]))


def refuses_odd(folder, number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    doubled(folder, number)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def items(*numbers):
    return [Item({"number": number}, (number,)) for number in numbers]


def values(artifacts):
    return [int(artifact.array("value")[0]) for artifact in artifacts]


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_results_come_in_order_and_are_computed_once(store, executor):
    opened = Inline() if executor == "inline" else Processes(2)
    counts: list[int] = []
    artifacts = cached_map(
        "toy", items(3, 1, 2, 1), doubled, store=store, executor=opened, progress=counts.append
    )
    assert values(artifacts) == [6, 2, 4, 2]
    assert sum(counts) == 4
    assert (store.computed["toy"], store.reused["toy"]) == (3, 0)
    again = cached_map("toy", items(1, 4), doubled, store=store, executor=opened)
    assert values(again) == [2, 8]
    assert (store.computed["toy"], store.reused["toy"]) == (4, 1)
    opened.close()


def test_parts_are_artifacts_of_their_own_and_only_missing_ones_are_made(store):
    first_part = [Item({"number": 3}, (3,), parts={"one": {"part": "one"}})]
    two = [Item({"number": 3}, (3,), parts={"one": {"part": "one"}, "ten": {"part": "ten"}})]
    cached_map("toy", first_part, both, store=store, executor=Inline())
    (parts,) = cached_map("toy", two, both, store=store, executor=Inline())
    assert {part: values([artifact]) for part, artifact in parts.items()} == {"one": [3], "ten": [30]}
    assert (store.computed["toy"], store.reused["toy"]) == (2, 1)


def test_a_failure_costs_itself_alone_where_that_is_wished(store):
    outcomes = cached_map("toy", items(2, 3, 4), refuses_odd, store=store, executor=Inline(), tolerant=True)
    assert values([outcomes[0], outcomes[2]]) == [4, 8]
    assert isinstance(outcomes[1], Failed)
    assert str(outcomes[1].error) == "3 is odd"
    assert not list((store.root / "tmp").iterdir())
    with pytest.raises(ValueError, match="3 is odd"):
        cached_map("toy", items(3), refuses_odd, store=store, executor=Inline())


def test_keys_hold_what_all_and_what_each_depend_on(store):
    common = {"store": store, "executor": Inline()}
    keys = {
        cached("toy", doubled, 1, depends_on={"number": 1}, **common).key,
        cached("toy", doubled, 1, depends_on={"number": 2}, **common).key,
        cached("toy", refuses_odd, 2, depends_on={"number": 1}, **common).key,
        cached_map("toy", items(1), doubled, depends_on={"run": "b"}, **common)[0].key,
    }
    assert len(keys) == 4


SOURCES = {
    "lab_made/__init__.py": "",
    "lab_made/stage.py": "from .helper import factor\n"
    "import numpy as np\n"
    "def scaled(folder, number):\n"
    "    np.save(folder / 'value.npy', np.array([factor() * number]))\n",
    "lab_made/helper.py": "from . import deep\ndef factor():\n    return deep.FACTOR\n",
    "lab_made/deep.py": "FACTOR = 5\n",
    "lab_made/aside.py": "UNUSED = 1\n",
}


@pytest.mark.parametrize("module", ["stage", "helper", "deep", "aside"])
def test_an_edit_of_any_module_in_the_closure_is_another_artifact(store, tmp_path, monkeypatch, module):
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run() -> int:
        for name in [n for n in sys.modules if n.partition(".")[0] == "lab_made"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        identity._closure_sha.cache_clear()
        scaled = importlib.import_module("lab_made.stage").scaled
        return values(cached_map("toy", items(2), scaled, store=store, executor=Inline()))[0]

    assert run() == 10
    file = tmp_path / "lab_made" / f"{module}.py"
    file.write_text(file.read_text() + "# edited\n")
    assert run() == 10
    assert store.computed["toy"] == (1 if module == "aside" else 2)


def test_an_artifact_altered_while_the_map_goes_on_is_an_error(store):
    class Removing(Inline):
        def map(self, function, tasks):
            yield from super().map(function, tasks)
            shutil.rmtree(store.root / "toy")
            store._verified.clear()

    with pytest.raises(DataError, match="altered while the run went on; run the same command again"):
        cached_map("toy", items(1), doubled, store=store, executor=Removing())


@pytest.mark.parametrize(
    ("workers", "expected"), [(1, [4] * 4 + [2, 1, 1]), (2, [4, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1])]
)
def test_tasks_grow_short_towards_the_end_so_that_no_worker_waits_long_for_the_last(store, workers, expected):
    class Recording(Inline):
        def map(self, function, tasks):
            for task in tasks:
                sizes.append(len(task.units))
                yield from super().map(function, [task])

    sizes: list[int] = []
    executor = Recording()
    executor.workers = workers
    artifacts = cached_map("toy", items(*range(20)), doubled, store=store, executor=executor, together=4)
    assert values(artifacts) == [2 * number for number in range(20)]
    assert sizes == expected
