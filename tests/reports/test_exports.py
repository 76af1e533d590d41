"""Tables that ``harness export`` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import report_fixtures as fixtures

from harness.errors import ConfigError, DataError
from harness.reports.exports import EXPORTS, export_table, latex_content, markdown_content, wide_table
from harness.reports.tables import encoding_table, score_table
from harness.results import RunResult


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = fixtures.write_run(tmp_path_factory.mktemp("run"), images=10, voxels=24, side=8)
    return RunResult.open(fixtures.with_lesions(fixtures.with_ranks(fixtures.with_captions(folder))))


@pytest.mark.parametrize("name", sorted(set(EXPORTS) - {"contrasts", "regions", "nearness"}))
def test_every_table_of_a_run_can_be_written(run: RunResult, name: str, tmp_path: Path) -> None:
    table = export_table(run, name)
    assert len(table)
    table.to_parquet(tmp_path / "x.parquet")  # columns of one type each
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "x.parquet"), table.reset_index(drop=True))


@pytest.mark.parametrize("name", ["contrasts", "regions", "nearness"])
def test_what_a_run_lacks_is_said_with_what_it_needs(run: RunResult, name: str) -> None:
    with pytest.raises(DataError, match=f"nothing for the table '{name}'") as error:
        export_table(run, name)
    assert EXPORTS[name].needs in str(error.value)
    assert "\n" not in str(error.value)


def test_targets(run: RunResult) -> None:
    pd.testing.assert_frame_equal(
        export_table(run, "summary", target="measured"), score_table(run, "measured")
    )
    images = export_table(run, "scores", target="image")
    assert set(images["target"]) == {"image"}
    assert len(images) == (run.scores["target"] == "image").sum()
    with pytest.raises(ConfigError, match="did you mean 'measured'"):
        export_table(run, "summary", target="mesured")
    with pytest.raises(ConfigError, match="leave it out"):
        export_table(run, "paired", target="measured")


def test_wide_has_a_line_per_row_and_a_column_per_metric(run: RunResult) -> None:
    table = score_table(run)
    wide = wide_table(table)
    assert list(wide.columns) == ["row", *dict.fromkeys(table["metric_label"])]
    assert wide["row"].tolist() == list(dict.fromkeys(table["label"]))
    for line in table.itertuples():
        text = wide.set_index("row").loc[line.label, line.metric_label]
        assert text == f"{line.mean:.3f} [{line.low:.3f}, {line.high:.3f}]"
    empty = wide.set_index("row").loc["flat grey", "caption ROUGE-1"]
    assert empty == ""
    assert "41" in wide_table(encoding_table(run)).set_index("row").loc["predicted fMRI", "RSA"]


def test_wide_keeps_rows_of_one_label_apart() -> None:
    shared = {"metric": "m@1", "metric_label": "m", "low": float("nan"), "high": float("nan")}
    table = pd.DataFrame(
        [
            {"row": "one", "label": "mine", "mean": 1.0, **shared},
            {"row": "two", "label": "mine", "mean": 2.0, **shared},
        ]
    )
    assert wide_table(table).to_dict("list") == {"row": ["mine (one)", "mine (two)"], "m": ["1.000", "2.000"]}


@pytest.mark.parametrize("name", ["paired", "voxels", "rois"])
def test_what_has_no_means_is_not_laid_out_wide(run: RunResult, name: str) -> None:
    with pytest.raises(ConfigError, match="--wide goes with"):
        wide_table(export_table(run, name))


@pytest.mark.parametrize("cell", ["a|b", "a\nb", "\x1b[31mred", "back\\", "under_score & 5 %"])
def test_any_id_is_one_cell_of_one_line(cell: str) -> None:
    table = pd.DataFrame({"image_id": [cell, "plain"], "value": [0.5, 0.25]})
    rows = markdown_content(table).decode().splitlines()
    assert len(rows) == 4
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows] == [3] * 4
    lines = latex_content(table).decode().splitlines()
    (line,) = [text for text in lines if text.endswith("0.500000 \\\\")]
    assert len(re.findall(r"(?<!\\)&", line)) == 1
    assert not any("\x1b" in text for text in (*rows, *lines))
