"""The names that a notebook uses: the same runs as the commands', tables as frames, pictures as HTML."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pandas as pd
import pytest
import report_fixtures as fixtures
from commands import TOYS, kill_words, only_run

import harness
from harness.cli.run import run as run_command
from harness.cli.run import score as score_command
from harness.notebook import TERMINAL_ONLY, typed_words


def test_the_public_names_are_there_and_nothing_heavy_is_imported_for_them():
    code = (
        "import sys, time\nimport harness\n"
        "assert not {'torch', 'pandas', 'numpy', 'click'} & set(sys.modules)\n"
        "assert all(hasattr(harness, name) and name in dir(harness) for name in harness.__all__)\n"
        "assert callable(harness.run) and 'torch' not in sys.modules\n"
        "import harness.run.plan\nassert callable(harness.run)\n"
        "try:\n    harness.rum\nexcept AttributeError:\n    pass\nelse:\n    raise SystemExit('no error')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_by_keywords_is_the_commands_run(undisturbed, toy_words, tmp_path, capsys):
    typed = kill_words(toy_words)
    options = dict(zip(typed[1:-1:2], typed[2:-1:2]))
    words = {key.removeprefix("--").replace("-", "_"): value for key, value in options.items()}
    section, _, value = words.pop("set").partition("=")
    run = harness.run(
        **words, set={section: int(value)}, store=undisturbed / "store", out=tmp_path, no_report=True
    )
    by_command = only_run(undisturbed)
    assert isinstance(run, harness.Run)
    pd.testing.assert_frame_equal(run.scores, by_command.scores)
    assert run.info["artifacts"] == by_command.info["artifacts"]
    assert run.info["command"][:2] == ["harness", "run"]
    assert capsys.readouterr().out == ""
    again = harness.open(run.folder)
    assert "pixcorr" in str(again)
    assert again._repr_html_().startswith("<pre>")


def test_a_script_without_a_guard_may_start_workers(tmp_path):
    words = f"encoder='{TOYS}:ToyEncoder', decoder='{TOYS}:ToyDecoder', benchmark='{TOYS}:ToyBenchmark'"
    script = tmp_path / "script.py"
    script.write_text(
        f"import harness\nrun = harness.run({words}, metrics='pixcorr', limit=2, workers=2, rows=['zero'], "
        "no_report=True, quiet=True)\nprint('once', len(run.scores))\n"
    )
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env={**os.environ, "HARNESS_STORE": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"encodr": "ridge"}, "did you mean 'encoder'"),
        ({"encoder": "rigde", "decoder": "linear"}, "did you mean 'ridge'"),
        ({"encoder": "ridge", "decoder": "linear", "limit": "many"}, "limit"),
        ({"encoder": "ridge", "decoder": "linear", "set": {"encoder.fold": 5}}, "did you mean 'folds'"),
        ({"tables": "all"}, "unknown keyword 'tables'"),
    ],
)
def test_wrong_words_are_refused_in_a_line(words, message):
    with pytest.raises(harness.HarnessError, match=message) as caught:
        harness.run(**words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", [run_command, score_command])
def test_every_option_is_a_keyword(command):
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        name = max(parameter.opts, key=len).removeprefix("--").replace("-", "_")
        if name in TERMINAL_ONLY:
            continue
        value = True if parameter.is_flag else {"encoder.folds": 5} if name == "set" else 3
        typed = typed_words(command, {name: value})
        assert len(typed) == (1 if parameter.is_flag else 2)
        assert typed[0] in parameter.opts


def test_values_keep_their_kind_on_the_way():
    words = {"set": {"run.bottleneck": [0, 8], "encoder.preset": "0010"}, "metrics": ["pixcorr", "ssim"]}
    assert typed_words(run_command, words | {"lesions": True, "allow_missing": False, "seed": None}) == [
        *("--set", "run.bottleneck=[0, 8]", "--set", 'encoder.preset="0010"'),
        *("--metrics", "pixcorr,ssim", "--lesions"),
    ]


def test_pictures_tables_comparison_and_leaderboard(tmp_path):
    folder = fixtures.write_run(tmp_path / "runs" / "a", images=6, voxels=12, side=4)
    run = harness.open(folder)
    assert {"row", "mean", "low", "high"} <= set(run.table().columns)
    shown = run.show(images=2)
    assert shown.rows[:1] == ("stimulus",)
    assert shown._repr_html_().count("<img") == 2 * len(shown.rows)
    compared = harness.compare(run, rows=["predicted", "measured"], metrics="pixcorr")
    assert len(compared.differences) == 1
    board = harness.leaderboard(tmp_path / "runs")
    assert list(board.wide()["kind"]).count("system") == 1
    assert run.report().is_file()
