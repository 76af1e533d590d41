"""A run's folder appears whole or not at all, and stays where the result is the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from commands import TOYS

from harness.run import record
from harness.run.outcome import Outcome
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.storage.store import Store
from harness.storage.worker import forget


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Outcome, Store]:
    forget()
    store = Store(tmp_path_factory.mktemp("record") / "store")
    values = {"run": {"metrics": ["pixcorr", "voxel-r"], "derangements": 2}}
    plugins = {kind: f"{TOYS}:Toy{kind.title()}" for kind in ("benchmark", "encoder", "decoder")}
    return run_plan(make_plan(Request(**plugins, values=values)), store), store


def written(finished, folder: Path, **changes) -> bool:
    outcome, store = finished
    return record.write_run(replace(outcome, **changes), folder, command=["harness"], store=store)


def test_every_file_is_hashed_into_the_record(finished, tmp_path):
    assert written(finished, tmp_path / "run")
    shas = json.loads((tmp_path / "run" / "run.json").read_text())["files_sha"]
    files = {file.name for file in (tmp_path / "run").iterdir() if file.is_file()}
    assert files == {*shas, "run.json"}
    index = json.loads((tmp_path / "run" / "gallery.json").read_text())
    pictures = [path for paths in index["paths"].values() for path in paths]
    assert {
        path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*/*/*.*")
    } == {*pictures}
    for name, sha in shas.items():
        assert hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest() == sha


def test_the_same_result_stays_and_another_takes_its_place(finished, tmp_path):
    folder = tmp_path / "run"
    assert written(finished, folder)
    first = (folder / "run.json").read_bytes()
    assert not written(finished, folder)
    assert (folder / "run.json").read_bytes() == first
    assert written(finished, folder, voxel_r={"predicted": (0.1, 0.0, 0.2)})
    assert (folder / "run.json").read_bytes() != first
    assert [child.name for child in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "scores.parquet").write_bytes(b"torn"),
        lambda folder: (folder / "gallery.npz").unlink(),
        lambda folder: (folder / "gallery" / "measured" / "00001.png").unlink(),
        lambda folder: (folder / "run.json").write_text("{"),
    ],
)
def test_a_damaged_folder_is_written_again(finished, tmp_path, damage):
    folder = tmp_path / "run"
    written(finished, folder)
    content = (folder / "scores.parquet").read_bytes()
    damage(folder)
    assert written(finished, folder)
    assert (folder / "scores.parquet").read_bytes() == content
    assert (folder / "gallery.npz").is_file()


def test_a_write_that_fails_leaves_the_old_run_and_nothing_beside_it(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    written(finished, folder)
    before = (folder / "run.json").read_bytes()

    def full(*_):
        raise RuntimeError("no space left")

    monkeypatch.setattr("harness.storage.disk.put_in_place", full)
    with pytest.raises(RuntimeError, match="no space"):
        written(finished, folder, voxel_r={"predicted": (0.1, 0.0, 0.2)})
    assert (folder / "run.json").read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == ["run"]


def test_the_revision_of_the_source_tree_is_recorded():
    if not (Path(__file__).parents[2] / ".git").exists():
        pytest.skip("the source tree is no checkout")
    assert len(record.git_revision().revision) == 40


def test_the_command_is_recorded_without_the_programs_folder(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/harness", "run", "--seed", "3"])
    assert record.command_line() == ["harness", "run", "--seed", "3"]
