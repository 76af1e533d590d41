"""What must not move unseen, in tests/frozen.json: both catalogues, and the score tables of small runs.

    python tests/freeze.py [RUN ...]

prints what moved and writes the file anew; with names, only these runs are computed.  Where the file
changes, the product says something else: the commit tells why.  Names and rows that are new move nothing
(:func:`listed`).

Means of a table are compared on any machine, its bytes where the machine is the recorded one
(:func:`machine`); runs without their data here are left as they were.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.backbones.catalogue import ROWS as BACKBONES
from harness.catalogue import Call, Metric
from harness.metrics.catalogue import ROWS as METRICS

sys.path.append(str(Path(__file__).parent / "helpers"))  # where pytest finds them too, once

from commands import call_harness, only_run
from named_backbones import backbone_named

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "tests" / "frozen.json"
DIGITS = ROOT.parent / "shared" / "data" / "vangerven2010_digits69.mat"

PAIR = ("--encoder", "ridge", "--decoder", "linear")
CHAIN = (
    *("--encoder", "chasm", "--decoder", "mindeye2", "--limit", "8", "--set", "benchmark.n_train=64"),
    *("--set", "run.derangements=4", "--set", "run.micro_batch=4"),
    *("--set", "encoder.stage1_epochs=1", "--set", "encoder.stage2_epochs=1"),
    *("--set", "decoder.epochs=3", "--set", "decoder.steps=2", "--set", "decoder.prior_steps=3"),
    "--metrics",
    "pixcorr,ssim,clip@tiny,clip-cos@tiny,efficientnet@tiny,pixel-nearest-train,image-retrieval,brain-retrieval,"
    "decoded-agreement,decoded-agreement-controlled,voxel-r,voxel-r2-nc,pattern-2way,rsa,category-profile",
)
RUNS: dict[str, tuple[str, ...]] = {
    "ridge": (*PAIR, "--limit", "12", "--set", "benchmark.n_train=64"),
    "chasm": CHAIN,
    "digits": ("--benchmark", "paired", "--config", "digits69.yaml", *PAIR),
}
"""Name -> words of ``harness run``: every default metric, one of each kind, and measured fMRI."""

TOLERANCE = {"ridge": 2e-5, "digits": 2e-5, "chasm": 1e-3}
"""How far means may lie from the recorded ones on another machine.

With torch, MKL, oneDNN and OpenBLAS held to AVX2 and to SSE in place of AVX-512, the largest difference seen
was 4.4e-6 for ``ridge`` and 2.0e-4 for ``chasm``, where a training takes rounding further.
"""

MAY_TURN = 0.02
"""The share of a run's means that may lie farther on another machine, where a comparison near a tie turned.

Retrieval by the noise alone, of the row that has one response for all images, was .100 with AVX-512 and .038
with AVX2: one of 226 means.
"""

TABLES = ("scores", "set_scores", "voxel_scores", "region_scores", "region_contributions")
ADDED, GONE = ": new", ": gone"
"""How a line of :func:`moved` ends that says no more than this."""

GROUPED_BY = ("metric", "row", "target")
LIBRARIES = ("numpy", "scipy", "torch", "torchvision", "pillow", "scikit-learn", "himalaya", "diffusers")


# Catalogues


FIELDS = (
    *("label", "version", "inputs", "backbone", "weights", "labels", "targets", "independent", "unit"),
    *("pool", "smallest_pool", "gallery", "by_region", "describes_measured", "higher_is_better", "chance"),
    *("default", "column"),
)


def metrics() -> dict[str, dict[str, Any]]:
    """Every metric: what defines it and how it is shown, but for where its code stands and its meaning."""
    return {row.name: {name: getattr(row, name) for name in FIELDS} | _arguments(row) for row in METRICS}


def _arguments(row: Metric) -> dict[str, dict[str, Any]]:
    """What its functions are called with."""
    calls = {name: getattr(row, name) for name in ("score", "deranged", "prepare", "on")}
    return {name: dict(c.arguments) for name, c in calls.items() if isinstance(c, Call) and c.arguments}


def backbones() -> dict[str, dict[str, Any]]:
    """Every backbone: version, layers, weights and all of its preprocessing."""
    facts = {}
    for row in BACKBONES:
        backbone = backbone_named(row.name)
        facts[row.name] = {
            "version": backbone.version,
            "layers": list(backbone.layers),
            "weights": getattr(backbone, "weights", ""),
            "preprocessing": str(getattr(backbone, "preprocessing", "")),
        }
    return facts


# Runs


def absent(run: str) -> str:
    """The file that `run` reads and that is not here, or ``""``."""
    return "" if run != "digits" or DIGITS.is_file() else DIGITS.name


def tables(run: str, folder: Path) -> dict[str, pd.DataFrame]:
    """Name -> score table of a run that is computed in `folder`."""
    if run == "digits":
        example = (ROOT / "configs" / "benchmarks" / "digits69.yaml").read_text()
        (folder / "digits69.yaml").write_text(example.replace(DIGITS.name, str(DIGITS)))
    call_harness(folder, "run", *RUNS[run], "--no-report", "--device", "cpu", OMP_NUM_THREADS="1")
    result = only_run(folder).folder
    return {name: pd.read_parquet(result / f"{name}.parquet") for name in TABLES}


def content_sha(table: pd.DataFrame) -> str:
    """SHA-256 of all columns and rows in their order, but for the run's name, which holds a hash of code."""
    total = hashlib.sha256()
    for name in table.columns.drop("run"):
        column = table[name]
        total.update(f"{name}|{len(column)}|".encode())
        if pd.api.types.is_numeric_dtype(column):
            total.update(column.to_numpy().tobytes())
        else:
            for value in column:
                total.update(value.tobytes() if _is_numbers(value) else f"{value}|".encode())
    return total.hexdigest()


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype != object


def _keys(table: pd.DataFrame) -> pd.Series:
    """ "metric row target" of each row of a score table, as far as it has these columns."""
    first, *others = (table[name].astype(str) for name in GROUPED_BY if name in table.columns)
    return first.str.cat(others, sep=" ")


def listed(table: pd.DataFrame, frozen_means: Mapping[str, float | None]) -> pd.DataFrame:
    """The part of a table that the file knows: a metric or row that was added since moves nothing."""
    return table[_keys(table).isin(list(frozen_means))]


def means(run_tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, float | None]]:
    """Table -> "metric row target" -> mean of its values; None for NaN."""
    values = {name: table.value.groupby(_keys(table)).mean() for name, table in run_tables.items()}
    return {
        name: {key: None if math.isnan(mean) else float(mean) for key, mean in by_key.items()}
        for name, by_key in values.items()
    }


def machine() -> dict[str, str]:
    """What bytes depend on: processor, its instructions as torch and BLAS use them, versions."""
    import torch
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    blas = {f"{i['internal_api']} {i['architecture']}" for i in threadpool_info() if i["user_api"] == "blas"}
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    first = dict(re.findall(r"^(vendor_id|cpu family|model|model name)\s*: (.*)$", described, re.M))
    return {
        "processor": " ".join([platform.machine(), *first.values()]),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "blas": ", ".join(sorted(blas)),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


# The file


def recorded() -> dict[str, Any]:
    """tests/frozen.json."""
    return json.loads(FILE.read_text()) if FILE.is_file() else {"metrics": {}, "backbones": {}, "runs": {}}


def moved(
    old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float = 0.0, at: str = ""
) -> Iterator[str]:
    """A line for each difference between two mappings of mappings; `tolerance` is relative and absolute."""
    for key in sorted({*old, *new}):
        here = f"{at}{key}"
        if key not in new:
            yield f"{here}{GONE}"
        elif key not in old:
            yield f"{here}{ADDED}"
        elif isinstance(old[key], dict) and isinstance(new[key], dict):
            yield from moved(old[key], new[key], tolerance, f"{here} / ")
        elif not _alike(old[key], new[key], tolerance):
            yield f"{here}: {old[key]} -> {new[key]}"


def _alike(old: Any, new: Any, tolerance: float) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
    return old == new


def plain(value: Any) -> Any:
    """`value` as a JSON file gives it back."""
    return json.loads(json.dumps(value))


def record(names: Iterable[str]) -> dict[str, Any]:
    """The file as this machine computes it; runs that are not in `names` stay."""
    content = recorded() | {"metrics": plain(metrics()), "backbones": plain(backbones())}
    runs = dict(content["runs"])
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            run_tables = tables(name, Path(folder))
        shas = {table: content_sha(frame) for table, frame in run_tables.items()}
        runs[name] = {"machine": machine(), "sha256": shas, "means": means(run_tables)}
    return content | {"runs": {name: runs[name] for name in RUNS if name in runs}}


def written(value: Any, level: int = 0) -> str:
    """JSON with a line for what fits into one, so that a change of a value is a line in a diff."""
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict) or len(text) < 500:
        return text
    indent = " " * (level + 1)
    inner = (f"{indent}{json.dumps(key)}: {written(item, level + 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(inner) + f"\n{indent[1:]}}}"


def main(names: list[str]) -> None:
    """See the module."""
    unknown = set(names) - set(RUNS)
    if unknown:
        sys.exit(f"there is no run {', '.join(sorted(unknown))}; type some of {', '.join(RUNS)}, or nothing")
    for name in (name for name in RUNS if absent(name)):
        sys.stdout.write(f"{name} stays as it was: {absent(name)} is not here\n")
    old, new = recorded(), record([name for name in names or RUNS if not absent(name)])
    lines = list(moved(old, new)) or ["nothing moved"]
    sys.stdout.write("\n".join([*lines, ""]))
    FILE.write_text(f"{written(new)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
