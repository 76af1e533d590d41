"""A leaderboard of three encoders under two decoders."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_runs import several

from harness.reports.leaderboard import Leaderboard, leaderboard


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return several(tmp_path_factory.mktemp("boards"))


@pytest.fixture(scope="session")
def board(runs: list[Path]) -> Leaderboard:
    return leaderboard(runs)
