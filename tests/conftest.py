"""Fixtures that tests of several folders share."""

from __future__ import annotations

import functools
import gc
import gzip
import hashlib
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clusters import one_node_slurm, two_node_ray
from commands import TOY_WORDS, call_harness, kill_words

# Workers share the cores, and so do the commands that they start; threads of each that fight for them took
# twice as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HARNESS_WORKERS", "1")


FIRST = (
    *("run/test_pipeline.py", "reports/test_page.py", "test_commands.py", "benchmarks/test_cortex.py"),
    *("reports/test_html.py", "run/test_embedded_chain.py", "submitting/test_verify.py"),
    *("stages/test_precomputed.py", "cli/test_bad_input.py", "cli/test_output.py", "test_frozen.py"),
    *("decoders/mindeye2/test_chain.py", "benchmarks/test_embedded.py", "run/test_protocols.py"),
)
"""Test modules that take longest.  Workers get whole modules: a long one at the end would have one wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first, the others in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(FIRST)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """To look for garbage among what is being imported took a third of the collection, and there is none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no collection of garbage need look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def logger_as_it_was():
    """A command that runs in this process sets up the logger for its terminal; the next test has its own."""
    logger = logging.getLogger("harness")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    logger.level, logger.propagate, logger.handlers[:] = before


@pytest.fixture
def harness(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``harness`` in an empty folder with a store of its own."""
    return functools.partial(call_harness, tmp_path)


@pytest.fixture(scope="session")
def toy_words() -> list[str]:
    """Words of a command that runs the toy plugins of tests/helpers/toys.py."""
    return [*TOY_WORDS]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, toy_words) -> Path:
    """A folder with an undisturbed run of eight images and its store."""
    folder = tmp_path_factory.mktemp("undisturbed")
    call_harness(folder, *kill_words(toy_words))
    return folder


@pytest.fixture(scope="module")
def images():
    """(2, 300, 330, 3) uint8: noise, which a wrong filter cannot hide in, over smooth colour."""
    import numpy as np

    generator = np.random.default_rng(0)
    coarse = generator.integers(40, 216, (2, 10, 11, 3)).repeat(30, axis=1).repeat(30, axis=2)
    return np.clip(coarse + generator.integers(-40, 40, (2, 300, 330, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """``keep(name, file)`` puts a generated file where ``harness prefetch NAME`` would."""
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))

    def put(name: str, file: Path) -> Path:
        from harness.backbones import weights

        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        monkeypatch.setitem(weights.WEIGHTS, name, replace(weights.WEIGHTS[name], sha256_prefix=sha))
        return weights.fetch(name, source=file)

    return put


@pytest.fixture
def merges(keep, tmp_path):
    """A file of merges: c + a, ca + t at the end of a word, and as many others as CLIP's has."""
    from harness.backbones import texts

    signs = texts._byte_signs()
    rest = [f"{a} {b}</w>" for a in reversed(signs) for b in reversed(signs)]
    lines = ["#version", "c a", "ca t</w>", *rest[: texts.MERGES - 2], "left out"]
    file = tmp_path / "merges.txt.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    return keep("clip-words", file)


@pytest.fixture(scope="session")
def slurm_daemons():
    """A SLURM of this machine alone."""
    with one_node_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(slurm_daemons, monkeypatch):
    """The same, spoken to by this process."""
    for name, value in slurm_daemons.environment.items():
        monkeypatch.setenv(name, value)
    return slurm_daemons


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray of two nodes, both on this machine."""
    with two_node_ray() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def three_encoders(tmp_path_factory):
    """A comparison of written runs of three encoders, of which the middle one differs from neither end."""
    import numpy as np
    import report_fixtures

    from harness.reports.comparison import compare
    from harness.results import RunResult

    def written(folder: Path, *, shift: float, seed: int) -> RunResult:
        """A run whose predicted row is `shift` better by every metric."""
        encoder = {"name": folder.name, "version": "1", "params": {}}
        report_fixtures.write_run(folder, images=60, encoder=encoder)

        def change(scores):
            ours = scores.row == "predicted"
            sign = np.where(scores.metric == "distance@1", -1.0, 1.0)
            noise = 0.05 * np.random.default_rng(seed).standard_normal(len(scores))
            return scores.assign(value=scores.value + ours * (sign * shift + noise))

        report_fixtures.change_scores(folder, "scores", change)
        return RunResult.open(folder)

    folder = tmp_path_factory.mktemp("three")
    shifts = {"low": 0.0, "middle": 0.017, "high": 0.034}
    return compare(
        [written(folder / name, shift=shift, seed=k) for k, (name, shift) in enumerate(shifts.items())]
    )
