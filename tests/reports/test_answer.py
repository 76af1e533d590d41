"""The answer comes first and is short: the field's scores, their best control, ceilings, flags in a line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from rich.console import Console

from harness.errors import ConfigError
from harness.reports.answer import FIELD, answer, headline_metrics
from harness.reports.terminal import TABLES, chosen_tables, render
from harness.results import RunResult

LONG = "a message that is longer than a terminal is wide, " * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    flags = [{"name": "misaligned-ids", "level": "alarm", "message": LONG}]
    return fixtures.write_run(tmp_path / "run", images=12, voxels=30, side=8, flags=flags)


def printed(folder: Path, width: int = 80, *, terminal: bool = True, tables=(), **colours) -> list[str]:
    out = io.StringIO()
    render(
        RunResult.open(folder),
        Console(file=out, width=width, force_terminal=terminal, **colours),
        tables=tables,
    )
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_it_is_short_and_fits(folder, width, terminal):
    lines = printed(folder, width, terminal=terminal, color_system=None)
    assert 15 < len(lines) <= 30
    tables = [line for line in lines if not line.startswith(("alarm", "report", "the rest", "  or some"))]
    assert max(map(len, tables)) <= width


def test_each_score_stands_beside_measured_best_control_and_ceiling(folder):
    scores = RunResult.open(folder).scores.query("target == 'stimulus'")
    means = scores.groupby(["metric", "row", "image_id"])["value"].mean().groupby(["metric", "row"]).mean()
    lines = printed(folder, color_system=None)
    head = next(line for line in lines if line.startswith("score"))
    assert head.split()[1:] == ["measured", "predicted", "best", "control", "ceiling"]
    controls = ("shuffled", "nearest-train", "zero", "train-mean", "mean-image", "flat-grey")
    for metric, label, best in (("pixcorr@1", "PixCorr", max), ("distance@1", "distance ↓", min)):
        of = means[metric]
        control = best(controls, key=lambda row: of[row])
        line = next(line for line in lines if line.startswith(label))
        words = line.removeprefix(label).split()
        expected = [of["measured"], of["predicted"], of[control], of["generator-ceiling"]]
        assert [words[0], words[1], words[4], words[6]] == [f"{value:.3f}" for value in expected]
        assert words[5] == control
    assert any("12 images]; ↓: lower is better" in line for line in lines)


def test_voxel_r_stands_beside_its_ceiling_and_a_re_measurement(folder):
    again = {"oracle": "remeasured"}
    fixtures.change_scores(folder, "voxel_scores", lambda t: t.assign(row=t["row"].replace(again)))
    run = RunResult.open(folder)
    limit = np.sqrt(run.info["noise_ceiling"]).mean()
    r = run.voxel_scores.query("metric == 'voxel-r@1'").groupby("row")["value"].mean()
    lines = printed(folder, color_system=None)
    line = next(line for line in lines if line.startswith("voxel r"))
    assert f"{r['predicted']:.3f} [0.310, 0.350]" in line
    assert line.split()[-2:] == [f"{limit:.3f}", f"{r['remeasured']:.3f}"]
    assert any(line.startswith("decoded-agreement-cont") for line in lines)


def test_a_flag_is_one_line_on_a_terminal_and_whole_elsewhere(folder):
    (cut,) = [line for line in printed(folder, color_system=None) if line.startswith("alarm")]
    assert len(cut) == 80
    assert cut.endswith("…")
    for lines in (
        printed(folder, terminal=False, color_system=None),
        printed(folder, tables=("flags",), color_system=None),
    ):
        assert f"alarm: misaligned-ids: {LONG}".rstrip() in [line.rstrip() for line in lines]


def test_no_color_and_pipes_are_plain(folder, monkeypatch):
    assert "\x1b" not in "".join(printed(folder, terminal=False))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31malarm" in "".join(printed(folder))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;31m" not in "".join(printed(folder))


@pytest.mark.parametrize(
    "endings", [("@1",) * 8, ("@tiny@1",) * 8, ("-strict-v2@3",) * 8, ("@1", "-v2@1", "@tiny@1", "-strict@1")]
)
def test_the_fields_eight_whatever_their_variant(tmp_path, endings, monkeypatch):
    chosen = [f"{name}{ending}" for name, ending in zip(FIELD, endings)]
    others = ["pixel-2way@1", "clip-cos@tiny@1", "rsa@1"]
    given = {name: {"label": name, "chance": None} for name in (*others, *reversed(chosen))}
    monkeypatch.setattr(fixtures, "IMAGE_METRICS", given)
    run = RunResult.open(fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=4))
    names = [metric.name for metric in headline_metrics(run)]
    assert names[: len(chosen)] == chosen
    assert len(names) == min(8, len(given))
    assert set(names[len(chosen) :]) <= set(others)


def test_rows_that_a_run_does_not_have_leave_no_column(folder):
    def without(*rows: str):
        return lambda table: table[~table["row"].isin(rows)]

    fixtures.change_scores(folder, "scores", without("generator-ceiling", "measured"))
    fixtures.change_scores(folder, "voxel_scores", without("remeasured"))
    images, responses = answer(RunResult.open(folder), width=80)
    assert images.heads == ("score", "predicted", "best control")
    assert "ceiling" in responses.heads
    fixtures.change_scores(folder, "scores", lambda table: table.iloc[:0])
    fixtures.change_scores(folder, "voxel_scores", lambda table: table.iloc[:0])
    assert answer(RunResult.open(folder), width=80) == []
    assert "no image was scored" in printed(folder)


def test_a_score_that_could_not_be_taken_is_not_shown(folder):
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(value=table["value"].where(table["metric"] != "ssim@1"))

    fixtures.change_scores(folder, "scores", spoil)
    labels = [line[0] for line in answer(RunResult.open(folder), width=80)[0].lines]
    assert "SSIM" not in labels
    assert "PixCorr" in labels


def test_reconstructions_made_elsewhere_are_what_the_run_is_about(folder):
    def as_given(table: pd.DataFrame) -> pd.DataFrame:
        table = table[~table["row"].isin(["measured", "generator-ceiling"])]
        return table.assign(row=table["row"].replace({"predicted": "reconstructions"}))

    fixtures.change_scores(folder, "scores", as_given)
    fixtures.change_scores(folder, "voxel_scores", lambda table: table.iloc[:0])
    assert answer(RunResult.open(folder), width=80)[0].heads[:2] == ("score", "reconstructions")


def test_names_of_tables():
    assert chosen_tables("all") == tuple(TABLES)
    assert chosen_tables("agreement, scores") == ("scores", "agreement")
    with pytest.raises(ConfigError, match=r"--tables encodin: unknown .* did you mean 'encoding'"):
        chosen_tables("encodin")


def test_tables_are_printed_on_request_and_said_to_be_empty(folder):
    lines = printed(folder, tables=("encoding", "captions"), color_system=None)
    assert any(line.startswith("encoding scores") for line in lines)
    assert not any(line.startswith("decoded agreement with") for line in lines)
    assert "this run holds nothing for the table 'captions'" in lines
    whole = printed(folder, tables=tuple(TABLES), color_system=None)
    assert not any("holds nothing" in line or "the rest" in line for line in whole)


@pytest.mark.parametrize("columns", ["80", pytest.param("200", marks=pytest.mark.slow)])
def test_the_commands_print_the_answer_and_the_rest_on_request(harness, toy_words, tmp_path, columns):
    words = ["run", *toy_words, "--no-report"]
    refused = harness(*words, "--tables", "score", check=False)
    assert refused.returncode == 2
    assert not (tmp_path / "runs").exists()  # refused before the work
    done = harness(*words, COLUMNS=columns)
    lines = done.stdout.splitlines()
    assert len(lines) <= 30
    assert len(done.stderr.splitlines()) <= 30
    advice = next(line for line in lines if line.startswith("the rest: harness ")).split()[3:]
    rest = harness(*advice, COLUMNS=columns).stdout
    assert "encoding scores: [95 % interval" in rest
    assert not list(tmp_path.glob("runs/*/report.html"))  # printed in place of being written
    again = harness(*words, "--tables", "all", COLUMNS=columns).stdout
    assert rest in again
