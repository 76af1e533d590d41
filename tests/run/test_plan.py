"""Plans of words that belong together only in another way: the advice, applied, works."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest

from harness.run.plan import make_plan
from harness.settings import Request, RunSettings

YAML = """
benchmark:
  file: mine.npz
  units: raw
  train: {images: train_images, responses: train_betas}
  test: {images: test_images, responses: test_betas}
"""


@pytest.fixture
def own_data(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", 30), ("test", 10)):
        arrays[f"{name}_images"] = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        arrays[f"{name}_betas"] = rng.standard_normal((n, 12)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", **arrays)
    (tmp_path / "mine.yaml").write_text(YAML)


def advised(message: str) -> list[str]:
    """The words that an error says to add."""
    return shlex.split(message.strip().rpartition("add ")[2])


def test_a_forgotten_benchmark_is_named(harness, own_data):
    words = ["plan", "--config", "mine.yaml", "--encoder", "ridge"]
    done = harness(*words, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "mine.yaml: benchmark 'embedded' has no parameter 'file', 'units', 'train' …; " in done.stderr
    assert advised(done.stderr) == ["--benchmark", "paired"]
    assert "paired@" in harness(*words, *advised(done.stderr)).stdout


def test_a_parameter_of_another_encoder_names_it(harness):
    words = ["plan", "--encoder", "ridge", "--set", "encoder.stage1_epochs=3"]
    done = harness(*words, check=False)
    assert "--set encoder.stage1_epochs=3: encoder 'ridge' has no parameter 'stage1_epochs'" in done.stderr
    assert advised(done.stderr) == ["--encoder", "chasm"]
    assert "stage1_epochs=3" in harness(*words, *advised(done.stderr)).stdout


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("encoder.fold=3", "unknown encoder parameter 'fold'; did you mean 'folds'?"),
        ("benchmark.n_tests=3", "unknown benchmark parameter 'n_tests'; did you mean 'n_test'?"),
    ],
)
def test_a_typing_error_is_not_taken_for_another_plugin(harness, assignment, message):
    done = harness("plan", "--encoder", "ridge", "--set", assignment, check=False)
    assert message in done.stderr


@dataclass(frozen=True)
class NextSettings(RunSettings):
    """Settings of a later version."""

    lately: str = ""


def test_a_setting_that_comes_later_renames_only_runs_that_use_it():
    plan = make_plan(Request(benchmark="embedded", encoder="ridge"), need_decoder=False)
    given = {name: getattr(plan.settings, name) for name in asdict(plan.settings)}
    unused, used = (replace(plan, settings=NextSettings(**given, lately=value)) for value in ("", "yes"))
    assert (unused.name, unused.identity) == (plan.name, plan.identity)
    assert used.name != plan.name
    assert used.identity != plan.identity


@pytest.mark.parametrize(
    "later", [{"pictures": "uint8"}, {"rows": ("zero",)}, {"adapt_images": 9}, {"decoder_images": 9}]
)
def test_what_changes_numbers_makes_another_run(later):
    plan = make_plan(Request(benchmark="embedded", encoder="ridge"), need_decoder=False)
    other = replace(plan, settings=replace(plan.settings, **later))
    assert other.name != plan.name
    assert other.identity != plan.identity
    same = replace(plan, settings=replace(plan.settings, device="cuda", workers=7, lost_after=9.0))
    assert (same.name, same.identity) == (plan.name, plan.identity)
