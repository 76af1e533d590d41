"""A run beside published numbers: which is beside which, and in what they differ."""

from __future__ import annotations

import pytest
import report_fixtures as fixtures
from click.testing import CliRunner

from harness.cli.report import report
from harness.errors import ConfigError
from harness.published import published_rows
from harness.reports.published import against_table, chosen_rows, differences, nearest, shared_differences
from harness.results import RunResult

PUBLISHED = {row.name: row for row in published_rows()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return RunResult.open(fixtures.write_run(tmp_path_factory.mktemp("against") / "run"))


def test_lines_of_encoders_are_beside_predicted_and_of_decoders_beside_measured(run):
    table = against_table(run, [PUBLISHED["chasm"], PUBLISHED["mindeye2"]])
    rows = dict(zip(zip(table["published"], table["published_metric"]), table["row"]))
    assert rows == {
        ("chasm", "voxel-r"): "predicted",
        ("mindeye2", "pixcorr"): "measured",
        ("mindeye2", "ssim"): "measured",
    }
    (ours,) = table[table["published"] == "chasm"].to_dict("records")
    r = run.voxel_scores
    own = r[(r["row"] == "predicted") & (r["metric"] == "voxel-r@1")]["value"]
    assert ours["mean"] == pytest.approx(own.mean())
    assert ours["published_value"] == 0.429


def test_all_lines_of_the_runs_systems_or_else_of_any(run):
    systems = {row.encoder or row.decoder for row in chosen_rows(run, ["published"])}
    assert systems == {"ridge"}
    assert [row.name for row in chosen_rows(run, ["chasm", "chasm"])] == ["chasm"]
    with pytest.raises(ConfigError, match="did you mean 'chasm'"):
        chosen_rows(run, ["chasmm"])


def test_what_differs_is_said(run):
    lines = differences(run, PUBLISHED["mindeye2"])
    assert "24 test images here, 1000 there" in lines
    assert "decoder 'linear' here, 'mindeye2' there" in lines
    assert any(line.startswith("subject s1 here, the mean over subj01") for line in lines)
    assert set(PUBLISHED["mindeye2"].differs) <= set(lines)
    names = ("mindeye2", "mindeye1-rescored")
    both = shared_differences({name: (run, PUBLISHED[name]) for name in names})
    assert both["24 test images here, 1000 there"] == ("mindeye2", "mindeye1-rescored")
    assert both["decoder 'linear' here, 'mindeye2' there"] == ("mindeye2",)


def test_small_networks_stand_for_those_they_imitate():
    assert nearest(PUBLISHED["mindeye2"], "clip@tiny@1") == "clip-strict"
    assert nearest(PUBLISHED["mindeye2"], "voxel-r@1") == ""


def test_the_command_prints_them(run):
    done = CliRunner().invoke(report, [str(run.folder), "--against", "chasm"])
    assert done.exit_code == 0, done.output
    assert "0.429" in done.output
    assert "differs:" in done.output
    wrong = CliRunner().invoke(report, [str(run.folder), "--against", "chazm"])
    assert isinstance(wrong.exception, ConfigError)
