"""Five formats of one table; whatever a name holds is text in each of them."""

from __future__ import annotations

import csv
import io
import json
import re

import pandas as pd
import pytest
from board_runs import board_run
from report_pages import EVIL, Page, change_info, words

from harness.reports.leaderboard import leaderboard

LABEL = f"score {EVIL}"
NAMES = (EVIL, "=HYPERLINK(1)", "a|b\nc", r"\input{x} & 5 % $y_1$ #~^", "[click](x) `code` *b* _i_")
SHOWN = {name.rpartition("/")[2] for name in NAMES}
"""What is before a slash is where a plugin's file lies."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    runs = [
        board_run(folder / f"run-{k}", images=4, encoder=name, decoder=NAMES[k - 1], run=name)
        for k, name in enumerate(NAMES)
    ]
    for run in runs:
        metrics = json.loads((run / "run.json").read_text())["metrics"]
        change_info(run, metrics=[m | {"label": LABEL} if m["name"] == "ssim@1" else m for m in metrics])
    paths = leaderboard(runs).write(folder / "out")
    return {path.suffix: path for path in paths}


def test_there_are_five_files(written):
    assert set(written) == {".html", ".md", ".csv", ".tex", ".parquet"}
    assert {path.name for path in written[".md"].parent.iterdir()} == {p.name for p in written.values()}


def test_parquet_holds_names_as_they_are(written):
    table = pd.read_parquet(written[".parquet"])
    assert set(table["encoder"]) >= SHOWN
    assert LABEL in set(table["metric_label"])


def test_no_cell_of_csv_is_a_formula(written):
    lines = list(csv.reader(io.StringIO(written[".csv"].read_text("utf-8"))))
    names = {line[lines[0].index("encoder")] for line in lines[1:]}
    assert "'=HYPERLINK(1)" in names
    number = re.compile(r"-\d[\d.e-]*")
    assert not [c for line in lines for c in line if c[:1] in "=+-@\t\r" and c and not number.fullmatch(c)]


def test_markdown_keeps_every_line_whole_and_nothing_in_it_is_markup(written):
    text = written[".md"].read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    (board,) = [part for part in text.split("\n## ") if part.startswith("toy@1")]
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in board.splitlines() if row.startswith("|")}
    assert len(widths) == 1
    assert rows
    assert not re.search(r"(?<!\\)[<`*_]", re.sub(r"^#.*$", "", text, flags=re.M))
    assert "\\[click](x) \\`code\\`" in text


def test_latex_is_booktabs_with_levels_above_the_scores_and_escapes_names(written):
    text = written[".tex"].read_text("utf-8")
    assert r"\toprule" in text
    assert r"\multicolumn{2}{c}{low level}" in text
    assert re.search(r"\\cmidrule\(lr\)\{5-6\}", text)
    table = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert r"\input" not in table
    assert r"\textbackslash input\{x\} \& 5 \% \$y\_1\$ \#\textasciitilde \textasciicircum" in re.sub(
        r"\s+", " ", table.replace("\\textbackslash  ", "\\textbackslash ")
    )
    head = text.split(r"\midrule")[0].splitlines()[-1]
    columns = len(re.findall(r"(?<!\\)&", head)) + 1
    for line in text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines():
        assert len(re.findall(r"(?<!\\)&", line)) + 1 == columns


def test_the_page_shows_names_as_text(written):
    page = Page(written[".html"].read_text("utf-8"))
    assert len(page.scripts) == 1
    assert not page.all("img")
    for name in (*SHOWN, LABEL):
        assert " ".join(name.split()) in words(page)


def test_the_same_runs_give_the_same_bytes(runs, board, tmp_path):
    first = board.write(tmp_path / "a")
    second = leaderboard(runs).write(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
