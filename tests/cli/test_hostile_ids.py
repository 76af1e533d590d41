"""Ids that would command a terminal or a spreadsheet: matched as they are, shown as what they are."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from commands import TOYS, only_run

from harness.cli.summary import console
from harness.errors import HarnessError
from harness.reports.exports import csv_content

IDS = (
    "=HYPERLINK(0)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\x1b[2J\x1b]0;owned\x07",
    "a\u202egnp.exe",
    "\x9b31mred",
    "plain",
    "[bold]x[/]",
    "two\rlines",
)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def write(folder, ids=IDS, predicted=IDS):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(ids) + 20, 8, 8, 3), np.uint8)
    betas = rng.normal(size=(len(images), 6)) + images.reshape(len(images), -1)[:, :6] / 50
    names = np.array([*ids, *(f"t{k}" for k in range(20))])
    np.savez(folder / "d.npz", a=images, y=betas, i=names, t=np.array(ids))
    (folder / "d.yaml").write_text(
        "benchmark: {file: d.npz, data: {images: a, responses: y, ids: i}, units: raw, image_layout: nhwc,\n"
        "  test_ids: t}\n"
    )
    np.savez(folder / "p.npz", predictions=betas[: len(ids)], ids=np.array(predicted))
    return [*("--benchmark", "paired", "--config", "d.yaml", "--encoder", "file:p.npz")]


def test_a_run_matches_them_and_no_output_obeys_them(harness, tmp_path):
    words = ["run", *write(tmp_path), "--decoder", f"{TOYS}:ToyDecoder", "--metrics", "pixcorr,voxel-r", "-v"]
    done = harness(*words, "--no-report")
    run = only_run(tmp_path)
    assert set(run.scores.image_id) == set(IDS)  # as they are, matched with the predictions
    for options in ([], ["--csv", "c.csv"]):
        compared = harness("compare", str(run.folder), "--row", "predicted", "--row", "measured", *options)
        assert not RAW.search(compared.stdout + compared.stderr)
    harness("export", str(run.folder), "x.csv", "--per-image")
    cells = pd.read_csv(tmp_path / "x.csv", lineterminator="\n").image_id
    assert not cells.str.startswith(("=", "+", "-", "@")).any()
    assert {f"'{name}" for name in IDS[:4]} | {"plain"} <= set(cells)
    assert not RAW.search(done.stdout + done.stderr)


@pytest.mark.parametrize("command", ["run", "plan", "inspect"])
def test_errors_and_listings_obey_none(harness, tmp_path, command):
    words = write(tmp_path, predicted=("\x1b[31mx", *IDS[1:]))
    if command == "inspect":
        np.savez(tmp_path / "d.npz", **{"\x1b[31mx": np.ones(2)})
        done = harness("inspect", "d.npz")
        assert r"\x1b[31mx" in done.stdout
    else:
        done = harness(command, *words, "--decoder", f"{TOYS}:ToyDecoder", check=False)
    assert not RAW.search(done.stdout + done.stderr)
    if command == "run":
        assert done.returncode == 2
        assert "'=HYPERLINK(0)'" in done.stderr
        assert r"\x1b[31mx" in done.stderr or "ids such as" in done.stderr


def test_consoles_and_messages_write_them_out(monkeypatch, capsys):
    terminal = console()
    for name in IDS:
        terminal.print(name, soft_wrap=True)
        assert not RAW.search(str(HarnessError(name)))
    printed = capsys.readouterr().out
    assert not RAW.search(printed)
    assert r"\x1b[2J\x1b]0;owned" in printed  # rich drops the bell itself
    assert "[bold]x[/]" in printed


def test_a_terminal_still_gets_the_colours_of_rich(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    terminal = console()
    terminal.file = io.StringIO()
    terminal.print("\x1b[2Jx", style="bold red")
    assert terminal.file.getvalue().startswith("\x1b[")
    assert r"\x1b[2Jx" in terminal.file.getvalue()


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("-a", "'-a"),
        ("+1|x", "'+1|x"),
        ("\tx", "'\tx"),
        ("-0.12 [-0.2, 0.1]", "-0.12 [-0.2, 0.1]"),
        ("-0.12", "-0.12"),
        ("-1 [=cmd]", "'-1 [=cmd]"),
        ("plain", "plain"),
        ("–", "–"),
    ],
)
def test_cells_that_are_formulas_become_text(cell, written):
    table = pd.DataFrame({"image_id": [cell], cell: [1.0], "value": [-0.5]})
    read = pd.read_csv(io.BytesIO(csv_content(table)), dtype=str, keep_default_na=False)
    assert read.iloc[0].tolist() == [written, "1.0", "-0.5"]
    assert list(read.columns) == ["image_id", written, "value"]
    assert table.image_id[0] == cell
