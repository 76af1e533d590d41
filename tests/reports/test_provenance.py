"""What a run was made of: every part with what its record says, long lists told by their length."""

from __future__ import annotations

from pathlib import Path

from report_pages import change_info

from harness.reports.provenance import provenance, shortened
from harness.results import RunResult


def test_sections_hold_what_the_record_says_and_no_more(fresh: Path) -> None:
    run = RunResult.open(change_info(fresh, noise_ceiling_source={"trials": "test", "within": 12}))
    sections = {heading: dict(pairs) for heading, pairs in provenance(run)}
    assert sections["encoder"]["folds (parameter)"] == "5"
    assert sections["run"]["git revision"] == "0" * 40 + " with uncommitted changes"
    assert sections["noise ceilings"] == {"from": "test", "degrees of freedom within images": "12"}
    assert sections["computed, taken from the store"] == {"decode": "3, 1"}
    assert "rois" not in sections["voxel space"]
    bare = dict(provenance(RunResult.open(change_info(fresh, encoder=None, noise_ceiling_source=None))))
    assert "encoder" not in bare
    assert "noise ceilings" not in bare


def test_long_lists_of_numbers_are_told_by_their_length() -> None:
    given = {"short": [1, 2], "long": list(range(25)), "deep": [{"x": [0.5] * 30}], "words": ["a"] * 30}
    told = shortened(given)
    assert told["long"] == "25 numbers, in run.json"
    assert told["deep"] == [{"x": "30 numbers, in run.json"}]
    assert (told["short"], told["words"]) == (given["short"], given["words"])
