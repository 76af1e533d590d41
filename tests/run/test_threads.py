"""A run's tables do not depend on OMP_NUM_THREADS: what makes an artifact computes with one thread."""

from __future__ import annotations

import hashlib
import os
import sys
import textwrap

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from commands import TOYS
from threadpoolctl import threadpool_info

from harness.cli import main
from harness.storage.content import save_array
from harness.storage.executors import Inline, single_thread
from harness.storage.store import Store, key_of

# A sum of so many float32 is another one with two threads than with one.
SENSITIVE = f"""
import sys
sys.path.insert(0, {str(TOYS.parent)!r})
from toys import ToyBenchmark, ToyDecoder, ToyEncoder

def off():
    import torch
    return float(torch.rand(3_000_001, generator=torch.Generator().manual_seed(1)).sum() % 1)

class Cortex(ToyBenchmark):
    def load(self, subject):
        data = super().load(subject)
        data.test.responses.data[:] += off()
        return data

class Encoder(ToyEncoder):
    def fit(self, *given, **named):
        super().fit(*given, **named)
        self.weights = self.weights + off()

    def predict(self, *given, **named):
        return super().predict(*given, **named) + off()

class Decoder(ToyDecoder):
    def fit(self, *given, **named):
        super().fit(*given, **named)
        self.weights = self.weights + off() / 100
"""


def sum_of_many(threads: int) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return float(torch.rand(3_000_001, generator=torch.Generator().manual_seed(1)).sum() % 1)
    finally:
        torch.set_num_threads(before)


def test_the_sum_is_sensitive_to_threads():
    """Without this the next test could not fail."""
    assert sum_of_many(1) != sum_of_many(2)


def test_a_run_is_byte_identical_with_one_thread_and_with_two(harness, tmp_path):
    (tmp_path / "lab.py").write_text(textwrap.dedent(SENSITIVE))
    words = ["--benchmark", "lab.py:Cortex", "--encoder", "lab.py:Encoder", "--decoder", "lab.py:Decoder"]
    digests = []
    for threads in ("1", "2"):
        place = tmp_path / f"with-{threads}"
        where = ["--store", str(place / "store"), "--out", str(place / "runs"), "--no-report"]
        harness("run", *words, "--metrics", "pixcorr,voxel-r,rsa", *where, OMP_NUM_THREADS=threads)
        tables = sorted((place / "runs").glob("*/*.parquet"))
        digests.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tables})
    assert len(digests[0]) == 5
    assert digests[0] == digests[1]


def threads_now() -> set[int]:
    return {library["num_threads"] for library in threadpool_info()} | {torch.get_num_threads()}


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
def test_artifacts_and_tasks_are_made_with_one_thread(tmp_path):
    seen = []

    def make(folder):
        seen.append(threads_now())
        save_array(folder, "x", np.arange(2))

    Store(tmp_path).get("stage", {"a": 1}, make)
    seen += list(Inline().map(lambda _: threads_now(), [0]))
    assert seen == [{1}, {1}]
    assert torch.get_num_threads() == 2


@click.command()
def probe() -> None:
    """A command that says how many threads it has."""
    click.echo(sorted(threads_now()))


@pytest.mark.usefixtures("_two_threads")
def test_every_command_computes_with_one_thread(monkeypatch):
    monkeypatch.setitem(main.COMMANDS, "probe", (f"{__name__}:probe", "Says how many threads it has."))
    assert CliRunner().invoke(main.cli, ["probe"], catch_exceptions=False).output == "[1]\n"
    assert 2 in threads_now()


def test_a_library_that_is_imported_meanwhile_starts_with_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delitem(sys.modules, "torch")
    with single_thread():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_another_version_of_a_library_is_another_key(monkeypatch):
    from harness.storage import identity

    before = key_of("fit", {"a": 1})
    identity.library_versions.cache_clear()
    newer = {"torch": "99.0"}
    monkeypatch.setattr(identity, "installed_version", lambda name: newer.get(name, "1.0"))
    changed = key_of("fit", {"a": 1})
    identity.library_versions.cache_clear()
    newer.clear()
    assert len({before, changed, key_of("fit", {"a": 1})}) == 3
    identity.library_versions.cache_clear()
