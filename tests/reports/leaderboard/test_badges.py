"""Badges say what the record or the folder holds, and "unknown" where that says nothing."""

from __future__ import annotations

import json
import math

import pytest
from board_runs import board_run, flag
from report_pages import change_info

from harness.reports.leaderboard import leaderboard
from harness.reports.leaderboard.badges import badges, costs
from harness.verified import FILE, folder_hashes


def first(folder, **versions):
    scored = leaderboard([folder], versions=versions).boards[0]
    return scored.facts[scored.board.systems[0]]


@pytest.fixture
def folder(tmp_path):
    return board_run(tmp_path / "run", images=4, flags=[])


def verify(folder):
    content = {"harness_version": "0.1.0", "checked": [], "not_checked": [], "files": folder_hashes(folder)}
    (folder / FILE).write_text(json.dumps(content))


def test_verified_is_what_verify_left_for_as_long_as_nothing_is_edited(folder):
    assert first(folder)[0].verified == "no"
    verify(folder)
    assert first(folder)[0].verified == "yes"
    assert first(folder)[0].texts()[-1] == "verified"
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"created": "later"}))
    assert first(folder)[0].verified == "no"


@pytest.mark.parametrize(
    ("change", "contamination"),
    [
        ({}, "none seen"),
        ({"flags": [flag("trained-on-test-images")]}, "yes"),
        ({"flags": [flag("near-duplicates-in-training")]}, "yes"),
        ({"encoder": {"name": "file:predictions.npz"}}, "unknown"),
        ({"decoder": {"name": "mindeye2", "params": {"checkpoint": "last.pth"}}}, "unknown"),
        ({"decoder": {"name": "folder:recons"}, "flags": [flag("test-images-in-training")]}, "yes"),
    ],
)
def test_training_on_test_images_is_seen_not_seen_or_unknown(folder, change, contamination):
    change_info(folder, **change)
    assert first(folder)[0].contamination == contamination


def test_scores_by_the_network_that_a_system_looks_through_are_named(folder):
    message = (
        "the encoder is built on 'pixels', which also scores pixel-2way@1, ssim@1: read those as self-metrics"
    )
    change_info(folder, flags=[flag("shared-backbone", "warning", message)])
    own = first(folder)[0]
    assert own.circular == ("ssim@1", "pixel-2way@1")
    assert "2 self-metrics" in own.texts()
    table = leaderboard([folder]).table
    table = table[table["kind"] == "system"].set_index("metric")["circular"]
    assert table["ssim@1"]
    assert not table["pixcorr@1"]


def test_versions_that_are_no_longer_installed_are_told(folder):
    assert first(folder, toy={"1", "2"}, ssim={"1"})[0].stale == ()
    stale = first(folder, toy={"2"}, ssim={"3", "2"})[0].stale
    assert stale == ("toy@1; installed is toy@2", "ssim@1; installed is ssim@2 or ssim@3")
    assert first(folder)[0].stale == ()


def test_alarms_are_named_and_warnings_are_not(folder):
    change_info(folder, flags=[flag("misaligned-ids"), flag("few-images", "warning")])
    assert first(folder)[0].alarms == ("misaligned-ids",)
    assert first(folder)[0].texts()[0] == "alarm: misaligned-ids"


def test_seconds_are_of_images_that_were_computed(folder):
    # 4 images are one micro-batch of each row; four of six were computed in 4.8 s.
    own = first(folder)[1]
    assert own.decode_seconds == pytest.approx(4.8 / 16)
    assert own.encode_seconds == pytest.approx(0.24 / 8)
    assert (own.encoder_parameters, own.decoder_parameters) == (1_500_000, 2000)
    assert math.isnan(own.device_memory_mb)
    change_info(folder, computed={"decode": [0, 6]}, settings={"micro_batch": 2})
    assert math.isnan(first(folder)[1].decode_seconds)
    change_info(folder, computed={"decode": [3, 6]}, n_test=5, settings={"micro_batch": 2})
    assert first(folder)[1].decode_seconds == pytest.approx(4.8 / 5)


def test_a_record_of_before_costs_were_kept_has_none(folder):
    change_info(folder, timings=None, computed=None, fitted_parameters=None, peak_memory_mb=None)
    scored = leaderboard([folder]).boards[0]
    entry = scored.board.systems[0]
    own = costs(entry)
    assert all(math.isnan(value) for value in (own.decode_seconds, own.memory_mb, own.encoder_parameters))
    assert badges(entry, {}).texts() == ["not verified"]
