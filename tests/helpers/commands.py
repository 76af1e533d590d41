"""The installed command, the toy plugins that it runs here, and folders."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
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
TOY_METRICS = "pixcorr,voxel-r,pattern-2way,rsa"
TOY_WORDS = (
    *("--benchmark", f"{TOYS}:ToyBenchmark"),
    *("--encoder", f"{TOYS}:ToyEncoder"),
    *("--decoder", f"{TOYS}:ToyDecoder"),
    *("--metrics", TOY_METRICS),
)
# These look through a backbone, and torch takes a second to import in each command.
EMBEDDED_METRICS = f"{TOY_METRICS},pixel-2way,decoded-agreement,decoded-agreement-controlled"

SET_BY_IMPORTS = (
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "TOKENIZERS_PARALLELISM",
    "TORCHINDUCTOR_CACHE_DIR",
)
"""Variables that sklearn, open_clip and torchvision give to whatever process imports them."""


class WarmCommand:
    """``harness`` forked from a process that has its imports done (:mod:`warm_command`), one at a time."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._environment: dict[str, str] = {}
        self._busy = threading.Lock()

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Whether a forked command with `environment` is what a started one would be."""
        if os.environ.get("OMP_NUM_THREADS") != "1":
            return False  # the imports start threads, which a fork does not have
        before = self._environment or os.environ
        names = {name for name in {*before, *environment} if before.get(name) != environment.get(name)}
        free = ["COLUMNS", "PYTEST_CURRENT_TEST", *SET_BY_IMPORTS]
        # Modules on a path are found by a fork as well, but for those that Python imports as it starts.
        folders = map(Path, environment.get("PYTHONPATH", "").split(os.pathsep))
        free += [] if any([*folder.glob("*customize.py")] for folder in folders) else ["PYTHONPATH"]
        return all(name.startswith("HARNESS_") or name in free for name in names)

    def run(
        self, command: list[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As :func:`subprocess.run` with its output captured as text."""
        with self._busy, tempfile.TemporaryDirectory() as place:
            server = self._started()
            printed = {name: Path(place) / name for name in ("out", "err")}
            for file in printed.values():
                file.touch()
            request = {"words": command, "folder": str(folder), "environment": dict(environment)}
            print(
                json.dumps(request | {name: str(file) for name, file in printed.items()}),
                file=server.stdin,
                flush=True,
            )
            process = int(server.stdout.readline())
            late = threading.Timer(timeout, os.kill, (process, signal.SIGKILL))
            late.start()
            status = int(server.stdout.readline())
            in_time = late.is_alive()
            late.cancel()
            out, err = (file.read_text() for file in printed.values())
        if not in_time:
            raise subprocess.TimeoutExpired(command, timeout, out, err)
        return subprocess.CompletedProcess(command, status, out, err)

    def _started(self) -> subprocess.Popen[str]:
        if self._server is None or self._server.poll() is not None:
            self._environment = dict(os.environ)
            self._server = subprocess.Popen(
                [sys.executable, str(HELPERS / "warm_command.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._server


WARM = WarmCommand()


def call_harness(
    folder: Path, *words: str, check: bool = True, timeout: float = 1800, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed ``harness`` in `folder`, with a store there.

    What a command inherits when it starts is not to differ for one that is forked: those that change more of
    the environment than the harness's own variables are started as programs.
    """
    command = [str(Path(sys.executable).with_name("harness")), *map(str, words)]
    environment = {**os.environ, "HARNESS_STORE": str(folder / "store"), "COLUMNS": "200", **env}
    if WARM.serves(environment):
        done = WARM.run(command, folder, environment, timeout)
    else:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    if check:
        assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done


def kill_words(toy_words: Sequence[str]) -> list[str]:
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
    """Every file of the store and of the run's tables -> its hash.

    How long an artifact took, which no two runs share, is left out of its manifest.
    """
    run, store = only_run(folder).folder, folder / "store"
    stages = [stage for stage in store.iterdir() if stage.is_dir() and stage.name not in APART]
    artifacts = [file for stage in stages for file in stage.rglob("*") if file.is_file()]
    files = {f"store/{file.relative_to(store)}": file for file in [*artifacts, store / "store.json"]}
    files |= {file.name: file for file in run.glob("*.parquet")}
    return {name: hashlib.sha256(_lasting(file)).hexdigest() for name, file in files.items()}


def _lasting(file: Path) -> bytes:
    """What a file holds, without the processor time in a manifest."""
    if file.name != "manifest.json":
        return file.read_bytes()
    held = json.loads(file.read_text())
    held.pop("cpu_seconds")
    return json.dumps(held).encode()
