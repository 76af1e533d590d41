"""What the README tells a newcomer to type works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import report_fixtures as fixtures

from harness.cli.main import COMMANDS

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str) -> str:
    """The README's only block of code in `language`."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


def test_the_yaml_of_own_data_runs(harness, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"test_image": np.repeat(np.arange(10), 2), "test_run": np.tile([0, 1], 10)}
    for name, images, trials in (("train", 40, 40), ("test", 10, 20)):
        arrays[f"{name}_images"] = rng.integers(0, 256, (images, 8, 8, 3), dtype=np.uint8)
        arrays[f"{name}_betas"] = rng.standard_normal((trials, 12)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", **arrays)
    (tmp_path / "mine.yaml").write_text(block("yaml"))
    assert "test_betas" in harness("inspect", "mine.npz").stdout
    done = harness("run", "--config", "mine.yaml", "--metrics", "pixcorr,voxel-r")
    assert "ridge → linear on paired@" in done.stdout
    assert list(tmp_path.glob("runs/*/report.html"))


def test_the_lines_for_a_notebook_work(tmp_path):
    folder = fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=4)
    *lines, last = block("python").replace("runs/NAME", str(folder)).strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    table = eval(last, names)
    assert set(table.columns) >= {"pixcorr@1", "ssim@1"}
    assert {"measured", "predicted"} <= set(table.index)


def test_the_table_of_commands_is_true():
    table = README.split("## Commands")[1].split("## ")[0]
    assert set(re.findall(r"`harness (\w+)", table)) == set(COMMANDS)
    for option in ("--tables", "--older-than", "--keep-runs", "--dry-run", "--regions", "--allow-missing"):
        assert option in README


def test_ci_finds_the_command_that_runs_the_tests():
    lines = [line for line in README.splitlines() if re.match(r"python3.*pytest", line)]
    assert len(lines) == 1
