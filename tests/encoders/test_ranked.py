"""Which encoder predicts the simulated cortex's voxels better, whatever the benchmark's noise (slow)."""

from __future__ import annotations

import itertools
import json

import pytest
from commands import call_harness

ENCODERS = {
    "ridge on CLS": ("ridge", "cls"),
    "ridge on CLS and patches": ("ridge", "cls-patches"),
    "chasm": ("chasm", "tiny"),
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[0, 1, 2])
def differences(request, tmp_path_factory) -> dict[tuple[str, str], dict]:
    """(encoder, other) -> line of ``harness compare`` on mean voxel r, 300 test images."""
    folder = tmp_path_factory.mktemp(f"seed{request.param}")
    here = {"HARNESS_STORE": str(folder / "store")}
    for name, (encoder, preset) in ENCODERS.items():
        words = ["--encoder", encoder, "--set", f"encoder.preset={preset}", "--decoder", "nearest-train"]
        size = ["--set", f"benchmark.seed={request.param}", "--set", "benchmark.n_test=300"]
        out = ["--metrics", "voxel-r", "--no-report", "--out", name]
        call_harness(folder, "run", *words, *size, *out, **here)
    runs = {name: str(next((folder / name).iterdir()).relative_to(folder)) for name in ENCODERS}
    lines = {}
    for first, second in itertools.combinations(runs, 2):
        given = json.loads(call_harness(folder, "compare", runs[first], runs[second], "--json").stdout)
        (line,) = [
            row
            for row in given["region_differences"]
            if row["metric"].startswith("voxel-r@") and row["kind"] == "all"
        ]
        lines[first, second] = line
        print(request.param, first, second, {key: line[key] for key in ("difference", "low", "high", "p")})
    return lines


def test_patches_add_to_cls(differences):
    line = differences["ridge on CLS", "ridge on CLS and patches"]
    assert line["better"] == line["b"]
    assert abs(line["difference"]) > 0.05


def test_chasm_lies_between_the_two_ridges(differences):
    """It does not lead here: it loses to the ridge that reads the same patches without pooling them."""
    above = differences["ridge on CLS", "chasm"]
    below = differences["ridge on CLS and patches", "chasm"]
    assert above["better"] == above["b"]
    assert below["better"] == below["a"]
