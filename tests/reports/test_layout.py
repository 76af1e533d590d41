"""Levels of chance as a report writes them."""

from __future__ import annotations

import pytest

from harness.reports.layout import chance_level


@pytest.mark.parametrize(
    ("chance", "written"),
    [
        (1 / 12, "1/12"),
        (1 / 300, "1/300"),
        (0.5, "0.5"),
        (0.01, "0.01"),
        (0.0, "0"),
        (0.0123457, "0.0123457"),
    ],
)
def test_chance_is_written_as_people_say_it(chance: float, written: str) -> None:
    assert chance_level(chance) == written
