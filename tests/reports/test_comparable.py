"""May runs be compared, and which of their metrics mean the same thing?"""

from __future__ import annotations

from pathlib import Path

import pytest
import report_fixtures as fixtures

from harness.errors import DataError
from harness.reports.comparable import check_benchmark, comparable_metrics, definition_difference
from harness.results import RunResult

SHAS = {"train_stimuli": "1", "train_responses": "2", "test_stimuli": "3", "test_responses": "4"}
ROWS = ("predicted", "measured")


@pytest.fixture
def written(tmp_path):
    """``written(name, key=value)``: a small run whose record is changed."""

    def write(name: str, **changes) -> RunResult:
        changes = {"data_sha": SHAS, "subset": None, **changes}
        return RunResult.open(
            fixtures.write_run(Path(tmp_path) / name, images=3, voxels=4, side=2, **changes)
        )

    return write


def redefined(run: RunResult, **changes) -> list[dict]:
    return [{**metric, **changes} if metric["name"] == "ssim@1" else metric for metric in run.info["metrics"]]


def test_equal_runs_have_nothing_to_say(written):
    assert check_benchmark([written("a"), written("b", seed=1)]) == []


def test_another_benchmark_is_refused(written):
    other = written("b", benchmark={"name": "toy", "version": "2", "simulated": True, "params": {}})
    with pytest.raises(DataError, match=r"toy@1.*toy@2.*give runs of one benchmark@version"):
        check_benchmark([written("a"), other])


def test_other_test_data_are_refused_with_the_settings_that_differ(written):
    given = {"name": "toy", "version": "1", "simulated": True, "params": {"subjects": 2}}
    other = written("b", data_sha={**SHAS, "test_responses": "9"}, benchmark=given)
    with pytest.raises(DataError, match=r"different test responses of s1 \(subjects: 1 / 2\)"):
        check_benchmark([written("a"), other])


def test_other_test_data_of_another_subject_are_its_own(written):
    assert (
        check_benchmark([written("a"), written("b", subject="s2", data_sha={**SHAS, "test_stimuli": "9"})])
        == []
    )


def test_subsets_of_one_test_set_and_other_training_data_are_noted(written):
    subset = {"name": "limit-2", "sha": "x"}
    shas = {**SHAS, "test_stimuli": "9", "train_stimuli": "8"}
    images, training = check_benchmark([written("a"), written("b", subset=subset, data_sha=shas, n_train=7)])
    assert (
        images == "test images of s1 differ: all in a, limit-2 in b; the images that both have are compared"
    )
    assert training == "training data of s1 differ: 3000 images in a, 7 in b"


def test_metrics_of_all_rows_are_kept_in_the_order_of_the_record(written):
    run = written("a")
    kept, left_out = comparable_metrics([run, written("b")], ROWS, "stimulus")
    assert kept == [name for name in fixtures.IMAGE_METRICS if name in kept]
    assert {"pixcorr@1", "ssim@1"} <= set(kept)
    assert left_out == []
    kept, left_out = comparable_metrics([run], ["predicted", "no-such-row"], "stimulus")
    assert kept == []
    assert dict(left_out)["ssim@1"] == "not scored in a for no-such-row"


def test_a_metric_of_another_definition_is_left_out(written):
    first = written("a")
    other = written("b", metrics=redefined(first, chance=0.25))
    assert definition_difference("ssim@1", [first, other]) == "another definition: chance is 0.25 or None"
    assert definition_difference("pixcorr@1", [first, other]) == ""
    kept, left_out = comparable_metrics([first, other], ROWS, "stimulus")
    assert "ssim@1" not in kept
    assert [name for name, _ in left_out] == ["ssim@1"]


def test_a_metric_that_depends_on_its_pool_is_compared_within_one(written):
    first, other = written("a"), written("b")
    fixtures.change_scores(other.folder, "scores", lambda frame: frame.assign(pool="another"))
    _, left_out = comparable_metrics([first, RunResult.open(other.folder)], ROWS, "stimulus")
    assert dict(left_out)["pixel-2way@1"] == "depends on its pool of images, and the pools differ"


def test_other_code_under_one_version_is_noted(written):
    first = written("a")
    other = written("b", metrics=redefined(first, file_sha="other"))
    (note,) = check_benchmark([first, other])
    assert note == "scored by different code under one version: ssim@1; run again to be sure"
