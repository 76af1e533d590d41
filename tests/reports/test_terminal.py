"""The final table on a terminal and in a log."""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pytest
import report_fixtures as fixtures
from rich.console import Console

from harness.reports.terminal import TABLES, render
from harness.results import RunResult


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fixtures.write_run(tmp_path / "run", images=12, voxels=30, side=8)


def printed(
    folder: Path, *, width: int = 100, terminal: bool = False, tables: Collection[str] = TABLES
) -> str:
    out = io.StringIO()
    colours = "truecolor" if terminal else None
    render(
        RunResult.open(folder),
        Console(file=out, width=width, force_terminal=terminal, color_system=colours),
        tables=tables,
    )
    return out.getvalue()


def test_scores_encoding_agreement_and_the_report_are_there(folder: Path) -> None:
    text = printed(folder)
    scores = RunResult.open(folder).scores.query("target == 'stimulus'")
    means = scores.groupby(["row", "metric", "image_id"])["value"].mean().groupby(["row", "metric"]).mean()
    for value in means:
        assert f"{value:.3f} [" in text
    assert "[0.310, 0.350]" in text  # voxel r over images, from the set scores
    assert "explained / explainable variance" in text
    assert "re-measurement: measured again (reliability), as many fresh trials of the same images" in text
    assert "report.html" not in text  # there is none yet
    (folder / "report.html").write_text("")
    assert str(folder / "report.html") in printed(folder).replace("\n", "")


def test_direction_and_chance_stand_in_the_header(folder: Path) -> None:
    text = printed(folder, width=400)
    head = text.split("scores against the stimuli")[1].split("measured fMRI ")[0]
    assert head.count("higher is better") == 3
    assert head.count("lower is better") == 1
    assert "chance 0.5" in head


def test_controls_stand_apart_after_what_they_control(folder: Path) -> None:
    lines = printed(folder, width=400).splitlines()
    first = {
        label: next(k for k, line in enumerate(lines) if line.startswith(label))
        for label in (
            "measured fMRI",
            "predicted fMRI",
            "noise-free truth",
            "predicted, shuffled*",
            "flat grey*",
        )
    }
    assert list(first.values()) == sorted(first.values())
    assert lines[first["predicted, shuffled*"] - 1].strip() == ""
    assert any(line.startswith("* controls") for line in lines)


def test_simulated_data_are_announced_and_measured_ones_are_not(folder: Path) -> None:
    text = printed(folder)
    assert text.splitlines()[0] == "*** simulated, not brain data ***"
    # scores, predicted, three of paired differences, decoder, draws, encoding, regions, agreement
    assert " ".join(text.split()).count("(simulated, not brain data)") == 10
    info = json.loads((folder / "run.json").read_text())
    info["benchmark"]["simulated"] = False
    (folder / "run.json").write_text(json.dumps(info))
    assert "simulated, not brain data" not in printed(folder)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_tables_fit_the_width_and_lose_nothing(folder: Path, width: int) -> None:
    lines = printed(folder, width=width).splitlines()
    for line in lines:
        if not line.startswith("report:"):
            assert len(line) <= max(width, 100)
    wide = printed(folder, width=1000)
    intervals = [word for word in wide.split() if word.endswith("]") and word[0].isdigit()]
    narrow = printed(folder, width=width)
    assert all(word in narrow for word in intervals)


def test_a_pipe_gets_plain_text_and_a_terminal_a_red_alarm(folder: Path) -> None:
    info = json.loads((folder / "run.json").read_text())
    info["flags"] = [{"name": "misaligned-ids", "level": "alarm", "message": "at chance"}]
    info["failed_metrics"] = [{"metric": "lpips@1", "error": "weights missing", "how_to_rerun": "type X"}]
    (folder / "run.json").write_text(json.dumps(info))
    plain = printed(folder)
    assert "\x1b" not in plain
    assert "alarm: misaligned-ids: at chance" in plain
    assert "failed: lpips@1 could not be scored: weights missing. type X" in plain
    assert "\x1b[1;31malarm: misaligned-ids" in printed(folder, terminal=True)


def test_names_that_look_like_markup_are_printed_as_they_are(folder: Path) -> None:
    info = json.loads((folder / "run.json").read_text())
    info["encoder"]["name"] = "[red]mine[/red]"
    info["flags"] = [{"name": "x", "level": "info", "message": "[bold]see[/bold] [link=a]"}]
    (folder / "run.json").write_text(json.dumps(info))
    text = printed(folder)
    assert "[red]mine[/red]" in text
    assert "[bold]see[/bold] [link=a]" in text


def test_values_that_are_not_scored_are_counted(folder: Path) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        lost = (frame["image_id"] == "scene-001") & (frame["metric"] == "ssim@1")
        return frame.assign(value=frame["value"].where(~lost))

    assert "not scored" not in printed(folder)
    fixtures.change_scores(folder, "scores", spoil)
    assert printed(folder).count("1 not scored") == len(fixtures.ROWS)


def test_a_run_without_scores_says_so(folder: Path) -> None:
    for name in ("scores", "voxel_scores", "set_scores"):
        fixtures.change_scores(folder, name, lambda frame: frame.iloc[:0])
    assert "no image was scored" in printed(folder)


def test_the_noise_floor_is_a_sentence_where_it_is_known(folder: Path) -> None:
    import json

    assert "noise floor" not in printed(folder)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "noise_floor_mse": 0.28649}))
    assert "noise floor of the voxel MSE: 0.286" in printed(folder)
