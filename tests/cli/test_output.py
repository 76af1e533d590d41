"""What is not ours reaches the terminal as it is: brackets are no styles; pipes that close are no failure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from commands import TOYS, call_harness
from rich.table import Table

from harness.cli import summary
from harness.storage.disk import put_in_place

HARNESS = str(Path(sys.executable).with_name("harness"))
NAMES = ("[bold]x[", "[", "a[0]:smile:")
ALL = "a[0]:smile:[[bold]x["


@pytest.mark.parametrize("text", ["[bold]x[/]", "[/]", "a[0]", "[/b]", ":smile:", "[link=x]y"])
def test_consoles_print_what_they_are_given(text, capfd):
    for errors in (False, True):
        console = summary.console(errors=errors)
        console.print(text)
        table = Table()
        table.add_row(text)
        console.print(table)
        printed = capfd.readouterr()
        assert (printed.err if errors else printed.out).count(text) == 2


@pytest.mark.parametrize("name", [ALL, *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES)])
def test_folders_with_brackets_through_every_command(tmp_path, name):
    """``[bold]x[/]`` is a folder ``]`` in a folder ``[bold]x[``."""
    folder = tmp_path / name / "]"
    folder.mkdir(parents=True)
    given = os.path.relpath(folder, tmp_path)
    (folder / "toys[0].py").write_text(TOYS.read_text())
    words = ["--benchmark", f"{TOYS}:ToyBenchmark", "--encoder", f"{given}/toys[0].py:ToyEncoder"]
    words += ["--decoder", f"{TOYS}:ToyDecoder", "--metrics", "pixcorr"]
    store = ["--store", f"{given}/store"]
    ran = call_harness(tmp_path, "run", *words, *store, "--out", f"{given}/runs", "--no-report")
    (run,) = (folder / "runs").iterdir()
    run = os.path.relpath(run, tmp_path)
    assert f"results written: {run}" in ran.stdout
    assert f"{given}/store" in ran.stderr
    call_harness(
        tmp_path, "compare", run, "--row", "predicted", "--row", "zero", "--csv", f"{given}/c[1].csv"
    )
    call_harness(tmp_path, "export", run, f"{given}/t[1].csv")
    assert (folder / "c[1].csv").is_file()
    assert (folder / "t[1].csv").is_file()
    np.savez(folder / "[p].npz", predictions=np.zeros((2, 3)))
    for refused in (
        ["inspect", f"{given}/[q].npz"],
        ["score", f"{given}/[r]"],
        ["plan", *words, "--config", f"{given}/[c].yaml"],
        ["plan", "--encoder", f"file:{given}/[p].npz", "--decoder", "linear"],
        ["report", f"{given}/[q]"],
    ):
        done = call_harness(tmp_path, *refused, check=False)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"{given}/[" in done.stderr


def test_names_of_another_locale(tmp_path, toy_words):
    place = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    call_harness(tmp_path, "run", *toy_words, "--out", "é 日本", **place)
    (run,) = (tmp_path / "é 日本").iterdir()
    assert (run / "report.html").is_file()
    call_harness(tmp_path, "compare", str(run), "--row", "predicted", "--row", "zero", **place)


@pytest.mark.parametrize("words", [["list"], ["--help"], ["export", "--help"], ["compare"], ["run"]])
def test_a_reader_that_goes_away(tmp_path, words, undisturbed, toy_words):
    (run,) = (undisturbed / "runs").iterdir()
    more = {"compare": [str(run), "--row", "predicted", "--row", "zero"], "run": [*toy_words, "--no-report"]}
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [HARNESS, *words, *more.get(words[0], [])],
        cwd=tmp_path,
        env={**os.environ, "HARNESS_STORE": str(tmp_path / "store")},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr


def test_runs_that_are_put_into_one_place_at_once(tmp_path):
    """Each is whole when it is seen, and no hidden folder stays."""

    def put(number: int) -> None:
        for turn in range(30):
            fresh = tmp_path / f".fresh-{number}-{turn}"
            fresh.mkdir()
            for name in ("a", "b"):
                (fresh / name).write_text(str((number, turn)))
            put_in_place(fresh, tmp_path / "run")

    problems: list[object] = []
    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    hook, threading.excepthook = threading.excepthook, problems.append
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = hook
    assert not problems
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "a").read_text() == (tmp_path / "run" / "b").read_text()


def test_a_file_in_the_place_of_a_run_stays(tmp_path):
    (tmp_path / "run").write_text("mine")
    (tmp_path / "fresh").mkdir()
    with pytest.raises(OSError):
        put_in_place(tmp_path / "fresh", tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"
