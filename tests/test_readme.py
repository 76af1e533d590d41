"""What the README tells a newcomer to type works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import report_fixtures as fixtures

from harness import plugins
from harness.cli.main import COMMANDS
from harness.run.plan import make_plan
from harness.settings import read_request

README = (Path(__file__).parents[1] / "README.md").read_text()
DOCS = Path(__file__).parents[1] / "docs"


def block(language: str) -> str:
    """The README's only block of code in `language`."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


def test_the_yaml_of_own_data_names_what_is_there(tmp_path):
    """The tutorial's is run (tests/test_docs.py); this one has a session, too."""
    rng = np.random.default_rng(0)
    arrays = {"test_image": np.repeat(np.arange(10), 2), "test_run": np.tile([0, 1], 10)}
    for name, images, trials in (("train", 40, 40), ("test", 10, 20)):
        arrays[f"{name}_images"] = rng.integers(0, 256, (images, 8, 8, 3), dtype=np.uint8)
        arrays[f"{name}_betas"] = rng.standard_normal((trials, 12)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", **arrays)
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "own-data.md").read_text(), re.DOTALL)
    (tmp_path / "mine.yaml").write_text(text)
    plan = make_plan(read_request(tmp_path / "mine.yaml", [], plugins={}), need_decoder=True)
    data = plan.benchmark.load()(plan.benchmark_params).load(plan.subject)
    assert len(data.test.stimuli) == 10
    assert list(data.test.responses.session) == [0, 1] * 10


def test_the_lines_for_a_notebook_work(tmp_path):
    folder = fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=4)
    text = block("python").replace(
        'harness.run(encoder="ridge", decoder="linear")', f"harness.open({str(folder)!r})"
    )
    assert "harness.run(" not in text
    names: dict[str, object] = {}
    *lines, last = text.strip().splitlines()
    exec("\n".join(lines), names)
    table = eval(last, names)
    assert {"row", "metric", "mean", "low", "high"} <= set(table.columns)
    assert {"measured", "predicted"} <= set(table.row)


def test_the_table_of_commands_is_true():
    table = (DOCS / "commands.md").read_text()
    assert set(re.findall(r"`harness (\w+)", table)) == set(COMMANDS)
    for option in ("--tables", "--older-than", "--keep-runs", "--dry-run", "--regions", "--allow-missing"):
        assert option in table + (DOCS / "plugins.md").read_text()


@pytest.mark.parametrize("kind", ["encoders", "decoders", "benchmarks"])
def test_the_table_of_what_there_is_is_true(kind):
    (line,) = re.findall(rf"^\| {kind} \| (.*) \|$", README, re.M)
    names = [ref.name for ref in plugins.available(kind) if ref.module.startswith("harness.")]
    assert re.findall(r"`([^`]+)`", line) == names


def test_it_is_what_a_newcomer_needs():
    assert len(README.splitlines()) < 120


def test_ci_finds_the_command_that_runs_the_tests():
    lines = [line for line in README.splitlines() if re.match(r"python3.*pytest", line)]
    assert len(lines) == 1
