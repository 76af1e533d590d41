"""The methods paragraph says what the record holds; the reproduction file plans the same run."""

from __future__ import annotations

import shlex
from pathlib import Path

import report_fixtures as fixtures
import yaml
from report_pages import EVIL, change_info

from harness.reports.methods import methods_text, reproduce_text
from harness.results import RunResult
from harness.run.plan import make_plan
from harness.settings import read_request


def test_the_file_plans_the_same_run_by_identity(undisturbed: Path, tmp_path: Path) -> None:
    (folder,) = (undisturbed / "runs").iterdir()
    run = RunResult.open(folder)
    file = tmp_path / "reproduce.yaml"
    file.write_text(reproduce_text(run), "utf-8")
    names = dict.fromkeys(("benchmark", "encoder", "decoder", "subject", "train_subjects"))
    plan = make_plan(read_request(file, [], plugins=names))
    assert plan.identity == run.record.identity
    assert f"# identity of the run: {plan.identity}" in file.read_text("utf-8").splitlines()
    other = yaml.safe_load(file.read_text("utf-8"))
    other["run"]["seed"] = 7
    file.write_text(yaml.safe_dump(other))
    assert make_plan(read_request(file, [], plugins=names)).identity != run.record.identity


def test_the_paragraph_says_what_was_done(folder: Path) -> None:
    text = methods_text(RunResult.open(folder))
    assert "subject s1 of toy@1 (simulated, not brain data): 120 voxels (all, zscore)" in text
    assert "3,000 training and 24 test images, the subset limit-24" in text
    assert "The encoder ridge@1 was fitted on the training images of s1" in text
    assert "from measured and predicted responses" in text
    assert "PixCorr (pixcorr@1)" in text
    assert "10,000 sign flips" in text
    assert "The harness flagged: warning: predicted is above measured; info: a named subset." in text
    assert "adapter" not in text
    assert "None" not in text


def test_what_is_on_is_said(fresh: Path) -> None:
    fixtures.with_lesions(fresh)
    change_info(
        fresh, adapter="match-std", candidates=16, selection="first", blended=0.25, test_trials=[2, 3]
    )
    text = methods_text(RunResult.open(fresh))
    assert "Lesions of early, higher: the same decoder" in text
    assert "the adapter 'match-std'" in text
    assert "Of 16 candidates one was kept by the rule 'first'." in text
    assert "with a share of 0.25" in text
    assert "2 to 3 trials of each test image" in text


def test_a_bare_record_is_enough(fresh: Path) -> None:
    (fresh / "run.json").write_text('{"schema": 1}')
    run = RunResult.open(fresh)
    assert "None" not in methods_text(run)
    assert yaml.safe_load(reproduce_text(run)) == {"plugins": {}, "run": {}}


def test_images_made_elsewhere_are_scored_again(fresh: Path) -> None:
    run = RunResult.open(change_info(fresh, encoder=None, decoder={"name": "folder:my recons"}))
    content = yaml.safe_load(reproduce_text(run))
    assert "decoder" not in content["plugins"]
    assert f"harness score {shlex.quote('my recons')} --config reproduce.yaml" in reproduce_text(run)
    assert "made elsewhere and matched to the test images by id" in methods_text(run)


def test_no_name_breaks_out_of_its_comment_or_value(fresh: Path) -> None:
    name = f"{EVIL}\nrun: {{seed: 9}}\n"
    run = RunResult.open(
        change_info(
            fresh, run=name, command=["harness", name], subject=name, device=name, settings={"seed": 1}
        )
    )
    content = yaml.safe_load(reproduce_text(run))
    assert content["run"] == {"seed": 1}
    assert content["plugins"]["subject"] == name
