"""Fixtures shared by the tests of the engine."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Workers share the cores, and so do the commands that they start; threads of each that fight for them took
# twice as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TOYS = Path(__file__).parent / "toys.py"
TOY_METRICS = "pixcorr,ssim,voxel-r,pattern-2way,rsa"
# These look through a backbone, and torch takes a second to import in each command.
EMBEDDED_METRICS = f"{TOY_METRICS},pixel-2way,decoded-agreement,decoded-agreement-controlled"


def call_harness(
    folder: Path, *words: str, check: bool = True, timeout: float = 1800, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed ``harness`` in `folder`, with a store there."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("harness")), *map(str, words)],
        cwd=folder,
        env={**os.environ, "HARNESS_STORE": str(folder / "store"), "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done


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
    """Words of a command that runs the toy plugins of tests/toys.py."""
    return [
        *("--benchmark", f"{TOYS}:ToyBenchmark"),
        *("--encoder", f"{TOYS}:ToyEncoder"),
        *("--decoder", f"{TOYS}:ToyDecoder"),
        *("--metrics", TOY_METRICS),
    ]


def kill_words(toy_words: list[str]) -> list[str]:
    sizes = ["--set", "run.micro_batch=1", "--shard-size", "1", "--samples", "2"]
    return ["run", *toy_words, "--metrics", EMBEDDED_METRICS, *sizes, "--no-report"]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, toy_words) -> Path:
    """A folder with an undisturbed run of eight images and its store."""
    folder = tmp_path_factory.mktemp("undisturbed")
    call_harness(folder, *kill_words(toy_words))
    return folder


@pytest.fixture(scope="module")
def fresh():
    """Scenes that no network has seen, as training scripts hold them."""
    from harness.backbones.tiny.train_data import DrawnScenes
    from harness.benchmarks.scenes import describe, draw

    indices = range(800)
    return DrawnScenes(draw("tiny-unseen", indices), describe("tiny-unseen", indices))


@pytest.fixture(scope="module")
def images():
    """(2, 300, 330, 3) uint8: noise, which a wrong filter cannot hide in, over smooth colour."""
    import numpy as np

    generator = np.random.default_rng(0)
    coarse = generator.integers(40, 216, (2, 10, 11, 3)).repeat(30, axis=1).repeat(30, axis=2)
    return np.clip(coarse + generator.integers(-40, 40, (2, 300, 330, 3)), 0, 255).astype(np.uint8)
