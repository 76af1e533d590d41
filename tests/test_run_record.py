"""``run.json`` as a typed record: what is written is what is read, and what is wrong is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import report_fixtures
from toy_runs import toy_run

from harness.errors import DataError
from harness.results import RunResult
from harness.run_record import BenchmarkRecord, FlagRecord, RunRecord

VALUES = {"run": {"metrics": ["pixcorr", "voxel-r"], "derangements": 2}}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunResult:
    folder = tmp_path_factory.mktemp("record")
    return toy_run(folder / "run", folder / "store", VALUES)


def test_what_is_written_is_what_is_read(run):
    record = run.record
    assert json.loads(json.dumps(record.content())) == run.info
    assert record.model_extra == {}
    assert set(run.info) == {field.alias or name for name, field in RunRecord.model_fields.items()}
    for part in (
        record.benchmark,
        record.space,
        record.data_sha,
        *record.rows,
        *record.metrics,
        *record.flags,
    ):
        assert part.model_extra == {}
    assert record.noise_ceiling == tuple(run.info["noise_ceiling"])
    assert record.benchmark.simulated
    assert record.encoder.params == run.info["encoder"]["params"]
    assert {metric.name for metric in record.metrics} == {"pixcorr@1", "voxel-r@1"}
    assert [subject.subject for subject in record.train_subjects] == ["toy01"]
    assert record.seed == 0


def test_an_older_record_is_read_with_defaults():
    record = RunRecord.model_validate({"schema": 1, "noise_ceiling_source": "all repeats", "flags": None})
    assert (record.schema_version, record.subject, record.flags, record.encoder) == (1, "", (), None)
    assert record.noise_ceiling_source.trials == "all repeats"
    assert record.benchmark == BenchmarkRecord()


def test_what_this_version_does_not_know_is_kept():
    given = {"schema": 1, "later": [1, 2], "flags": [{"name": "n", "level": "l", "message": "m", "why": "w"}]}
    record = RunRecord.model_validate(given)
    assert record.content() == {**given, "flags": ({**given["flags"][0]},)}
    assert record.flags[0].why == "w"


def test_null_says_nothing_where_nothing_has_a_default_and_itself_where_it_means_something():
    record = RunRecord.model_validate({"schema": 1, "adapter": None, "encoder": None})
    assert record.content() == {"schema": 1, "encoder": None}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"n_test": "many"}, "n_test"),
        ({"noise_ceiling": [0.1, "high"]}, "noise_ceiling.1"),
        ({"metrics": [{"name": "a", "chance": []}]}, "metrics.0.chance"),
        ({"space": {"rois": {"V1": "all"}}}, "space.rois.V1"),
        ({"benchmark": "nsd"}, "benchmark"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_field(tmp_path: Path, changes, place):
    folder = report_fixtures.write_run(tmp_path / "run", images=3, voxels=4, side=2, **changes)
    with pytest.raises(DataError, match=f"damaged at '{place}'.*type the command") as refused:
        RunResult.open(folder)
    assert "\n" not in str(refused.value)


def test_a_record_cannot_be_changed(run):
    with pytest.raises(ValueError, match="frozen"):
        run.record.flags[0].level = "info"
    assert isinstance(run.record.flags[0], FlagRecord)
