"""The installed command, the toy plugins that it runs here, and folders."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from harness.results import RunResult

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"
"""What lies beside a checkout and is not in it; tests that use it are skipped where it is absent."""

TOYS = HELPERS / "toys.py"
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


def kill_words(toy_words: list[str]) -> list[str]:
    sizes = ["--set", "run.micro_batch=1", "--shard-size", "1", "--samples", "2"]
    return ["run", *toy_words, "--metrics", EMBEDDED_METRICS, *sizes, "--no-report"]


def only_run(folder: Path) -> RunResult:
    """The run in ``folder/runs``, of which there is one."""
    from harness.results import RunResult

    (run,) = [child for child in (folder / "runs").iterdir() if not child.name.startswith(".")]
    return RunResult.open(run)


def values(run: RunResult, metric: str, row: str, target: str = "stimulus") -> np.ndarray:
    """Per-image values in id order."""
    table = run.scores
    named = table.metric.str.partition("@")[0] == metric
    chosen = table[named & (table.row == row) & (table.target == target)]
    return chosen.sort_values("image_id").value.to_numpy()


APART = ("tmp", "checkpoints", "jobs")
"""Folders of a store in which no artifact lies."""


def content(folder: Path) -> dict[str, str]:
    """Every file of the store and of the run's tables -> its hash."""
    run, store = only_run(folder).folder, folder / "store"
    stages = [stage for stage in store.iterdir() if stage.is_dir() and stage.name not in APART]
    artifacts = [file for stage in stages for file in stage.rglob("*") if file.is_file()]
    files = {f"store/{file.relative_to(store)}": file for file in [*artifacts, store / "store.json"]}
    files |= {file.name: file for file in run.glob("*.parquet")}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
