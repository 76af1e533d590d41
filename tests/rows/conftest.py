"""Trials of a few images."""

from __future__ import annotations

import pytest
from toys import ToyBenchmark


@pytest.fixture
def data():
    return ToyBenchmark(ToyBenchmark.Params()).load("toy01")
