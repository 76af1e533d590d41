"""Which rows of which runs are one system, and what systems are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import report_fixtures as fixtures

from harness.reports.systems import find_encoders, find_systems, seed_of
from harness.results import RunResult


@pytest.fixture
def written(tmp_path):
    """``written(name, key=value)``: a small run whose record is changed."""

    def write(name: str, **changes) -> RunResult:
        folder = fixtures.write_run(Path(tmp_path) / name, images=3, voxels=4, side=2)
        record = json.loads((folder / "run.json").read_text()) | changes
        (folder / "run.json").write_text(json.dumps(record))
        return RunResult.open(folder)

    return write


def plugin(name: str, **params) -> dict:
    return {"name": name, "version": "1", "file_sha": "e", "params": params}


def test_subjects_and_seeds_are_replicates_of_one_system(written):
    runs = [written("a", subject="s1"), written("b", subject="s2"), written("c", subject="s1", seed=1)]
    (system,) = find_systems(runs, ["predicted"])
    assert system.label == "ridge"
    assert {subject: len(of) for subject, of in system.replicates.items()} == {"s1": 2, "s2": 1}
    assert system.seeds == ("0", "1")
    assert seed_of(system.runs["s1"]) == "0"


def test_the_same_seed_twice_is_two_systems_told_by_their_folders(written):
    systems = find_systems([written("a"), written("b")], ["predicted"])
    assert [system.label for system in systems] == ["ridge (a)", "ridge (b)"]


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        ({"encoder": plugin("chasm")}, ["ridge", "chasm"]),
        ({"encoder": plugin("lab/file.py:Mine")}, ["ridge", "file.py:Mine"]),
        ({"encoder": plugin("ridge", folds=9)}, ["ridge · folds=5", "ridge · folds=9"]),
        ({"adapter": "match-std"}, ["ridge · adapter none", "ridge · adapter match-std"]),
        ({"n_train": 100}, ["ridge · 3000 training images", "ridge · 100 training images"]),
    ],
)
def test_a_label_names_what_differs_and_no_more(written, change, labels):
    systems = find_systems([written("a"), written("b", **change)], ["predicted"])
    assert [system.label for system in systems] == labels


def test_rows_of_one_run_are_called_by_their_rows(written):
    systems = find_systems([written("a")], ["predicted", "measured"])
    assert [system.label for system in systems] == ["predicted fMRI", "measured fMRI"]
    assert [system.row for system in systems] == ["predicted", "measured"]


def test_an_encoder_is_one_whatever_decodes_it(written):
    runs = [
        written("a"),
        written("b", decoder=plugin("mindeye2")),
        written("c", encoder=plugin("chasm"), decoder=plugin("mindeye2")),
    ]
    systems = find_systems(runs, ["predicted"])
    assert len(systems) == 3
    assert [encoder.label for encoder in find_encoders(systems)] == ["ridge", "chasm"]
    assert find_encoders(systems)[0].runs["s1"].folder.name == "a"
