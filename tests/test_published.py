"""Published numbers: every line has its source, its limits, and names of scores that there are."""

from __future__ import annotations

import pytest

from harness import plugins
from harness.errors import ConfigError
from harness.published import published_rows

LINE = """
tables:
  - source: a paper, Table 1
    dataset: NSD
    subjects: [subj01, subj02]
    n_test: 982
    differs: [other units]
    unchecked: [clip-strict]
    columns: {pixcorr: 1, clip-strict: 0.01, seconds: 1}
    rows:
      mine: {system: Mine, decoder: mine, values: [.230, 94.0, 2.5]}
      other: {system: Other, subjects: [subj05], differs: [best of 4], values: [~, 90, ~]}
"""


@pytest.fixture
def read(tmp_path):
    def rows(text: str):
        file = tmp_path / "numbers.yaml"
        file.write_text(text)
        return published_rows(file)

    return rows


def test_a_line_takes_what_its_table_says_and_adds_its_own_limits(read):
    mine, other = read(LINE)
    assert mine.values == {"pixcorr": 0.23, "clip-strict": 0.94}
    assert (mine.seconds, mine.subjects, mine.n_test) == (2.5, ("subj01", "subj02"), 982)
    assert other.values == {"clip-strict": 0.9}
    assert (other.seconds, other.subjects) == (None, ("subj05",))
    assert other.differs == ("other units", "best of 4")
    assert mine.unchecked == ("clip-strict",)


def test_near_names_the_same_score_or_its_nearest_definition(read):
    mine, other = read(LINE)
    assert mine.near("pixcorr@1") == mine.near("pixcorr") == mine.near("pixcorr-v2@1") == "pixcorr"
    assert mine.near("clip@1") == mine.near("clip-strict-v2@1") == "clip-strict"
    assert mine.near("clip@tiny@1") == mine.near("clip-cos@1") == other.near("pixcorr@1") == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source: a paper, Table 1", "source: ~", "mine lacks source"),
        ("differs: [other units]", "differs: []", "mine lacks differs"),
        ("system: Mine, ", "", "mine lacks system"),
        ("94.0, 2.5]", "94.0]", "2 values for 3 columns"),
        ("94.0", "many", "expected a number, found 'many'"),
        ("other:", "mine:", "the key 'mine' is given a second time"),
        ("unchecked: [clip-strict]", "unchecked: [klip]", "names 'klip', which is no column"),
        ("decoder: mine", "decodr: mine", "did you mean 'decoder'"),
        ("[other units]", "other units", "expected a list"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_by_its_place(read, old, new, message):
    assert old in LINE
    with pytest.raises(ConfigError, match=message):
        read(LINE.replace(old, new))


def test_what_comes_with_the_harness_names_scores_that_there_are():
    rows = published_rows()
    metrics = {ref.name for ref in plugins.available("metrics")}
    assert rows
    for row in rows:
        assert set(row.values) <= metrics, row.name
        assert row.values, row.name
        assert row.source, row.name
        assert all(row.differs), row.name
        shares = [value for name, value in row.values.items() if name.endswith(("-strict", "-300x30"))]
        assert all(0 < value < 1 for value in shares), f"{row.name}: percent were not brought to shares"
