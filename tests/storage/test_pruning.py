"""``harness store``: what a store holds, and pruning that never takes anything from under a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import ConfigError, StoreError
from harness.storage.content import save_json
from harness.storage.pruning import chosen, fitted_in, inventory, remove
from harness.storage.store import Store

DAY = 86400.0


def fill(root: Path) -> dict[str, Path]:
    """A store of three artifacts, used 0, 10 and 40 days ago; name -> folder."""
    store, folders = Store(root), {}
    for name, stage, days in (("new", "features", 0), ("old", "features", 10), ("fit", "fit", 40)):
        artifact = store.get(stage, {"name": name}, lambda folder: save_json(folder, "content", [1] * 999))
        when = time.time() - days * DAY
        os.utime(artifact.folder / "manifest.json", (when, when))
        folders[name] = artifact.folder
    return folders


def names(held) -> list[str]:
    return sorted(
        json.loads((artifact.folder / "manifest.json").read_text())["ingredients"]["name"]
        for artifact in held
    )


def test_the_inventory_knows_stage_size_and_last_use(tmp_path):
    folders = fill(tmp_path)
    (tmp_path / "checkpoints" / "abc").mkdir(parents=True)
    (tmp_path / "checkpoints" / "abc" / "state.bin").write_bytes(bytes(5000))
    held = {artifact.folder: artifact for artifact in inventory(tmp_path)}
    assert set(held) == {*folders.values(), tmp_path / "checkpoints" / "abc"}
    fit = held[folders["fit"]]
    assert (fit.stage, fit.key) == ("fit", folders["fit"].name)
    assert fit.size >= 999
    assert time.time() - fit.used == pytest.approx(40 * DAY, abs=100)
    assert time.time() - held[tmp_path / "checkpoints" / "abc"].used < 100


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"older_than": None}, ["fit", "new", "old"]),
        ({"older_than": 5 * DAY}, ["fit", "old"]),
        ({"older_than": 20 * DAY}, ["fit"]),
        ({"older_than": None, "stages": ["features"]}, ["new", "old"]),
        ({"older_than": 5 * DAY, "stages": ["features"]}, ["old"]),
    ],
)
def test_what_is_chosen(tmp_path, wish, expected):
    fill(tmp_path)
    assert names(chosen(inventory(tmp_path), **wish)) == expected


def test_use_renews_an_artifact(tmp_path):
    folders = fill(tmp_path)
    assert Store(tmp_path).open("fit", folders["fit"].name) is not None
    assert names(chosen(inventory(tmp_path), older_than=5 * DAY)) == ["old"]


def test_removed_artifacts_are_computed_again_and_others_stay(tmp_path):
    folders = fill(tmp_path)
    doomed = chosen(inventory(tmp_path), older_than=5 * DAY)
    assert remove(tmp_path, doomed) == sum(artifact.size for artifact in doomed)
    assert {name for name, folder in folders.items() if folder.exists()} == {"new"}
    assert not list((tmp_path / "tmp").iterdir())
    again = Store(tmp_path)
    for name, stage in (("new", "features"), ("old", "features")):
        again.get(stage, {"name": name}, lambda folder: save_json(folder, "content", [2]))
    assert (again.computed["features"], again.reused["features"]) == (1, 1)


def test_nothing_is_removed_under_a_process_that_has_the_store_open(tmp_path):
    folders = fill(tmp_path)
    code = (
        "import sys; from harness.storage.store import Store; s = Store(sys.argv[1])\n"
        "print(1, flush=True); input()"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        user.stdout.readline()
        with pytest.raises(StoreError, match="in use by a run; nothing was removed"):
            remove(tmp_path, inventory(tmp_path))
        assert all(folder.is_dir() for folder in folders.values())
    finally:
        user.communicate("\n")
    assert remove(tmp_path, inventory(tmp_path)) > 0
    assert not inventory(tmp_path)


def test_models_of_runs_are_kept(tmp_path):
    folders = fill(tmp_path / "store")
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "run.json").write_text(
        json.dumps({"artifacts": {"encoder": folders["fit"].name}})
    )
    for place in ("runs", "runs/a"):
        kept = fitted_in(tmp_path / place)
        assert names(chosen(inventory(tmp_path / "store"), older_than=None, kept=kept)) == ["new", "old"]
    with pytest.raises(ConfigError, match=r"holds no run\.json"):
        fitted_in(tmp_path)


def test_the_commands(harness, tmp_path, toy_words):
    assert "there is no store at" in harness("store", check=False).stderr
    harness("run", *toy_words, "--no-report")
    shown = harness("store").stdout
    assert shown.startswith(f"{tmp_path / 'store'}\n")
    assert {"data", "fit", "decode", "in"} <= {line.split()[0] for line in shown.splitlines()}
    advice = shown.splitlines()[-1].partition(": harness ")[2].split()
    assert "nothing was removed" in harness(*advice).stdout
    runs = ("--keep-runs", tmp_path / "runs")
    assert "nothing was removed" in harness("store", "prune", "--all", *runs, "--dry-run").stdout
    assert "removed: " in harness("store", "prune", "--all", *runs).stdout
    left = {line.split()[0] for line in harness("store").stdout.splitlines()[2:-2]}
    assert left == {"fit"}
    again = harness("run", *toy_words, "--no-report").stdout
    assert "results unchanged" in again
    assert " fit " not in again.split("computed: ")[1].split(";")[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to remove: --older-than 30d"),
        (["--older-than", "30"], "--older-than 30: expected a number and m, h, d or w, for example 30d"),
        (["--stage", "scores"], "did you mean 'score'"),
        (["--all", "--keep-runs", "nowhere"], "nowhere holds no run.json"),
    ],
)
def test_wrong_words_are_one_line_and_remove_nothing(harness, undisturbed, words, message):
    before = len(inventory(undisturbed / "store"))
    done = harness("store", "prune", *words, "--store", undisturbed / "store", check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(inventory(undisturbed / "store")) == before
