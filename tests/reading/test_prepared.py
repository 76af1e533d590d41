"""A table on disk is made once, of the blocks in their order."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import DataError
from harness.reading.prepared import Block, prepared_table

VALUES = np.arange(12.0).reshape(4, 3)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PREPARED", str(tmp_path))
    return tmp_path


def test_blocks_follow_one_another_and_are_read_once():
    calls = []

    def read(part):
        calls.append(part)
        return VALUES[part]

    blocks = [Block(3, lambda: read(slice(0, 3))), Block(1, lambda: read(slice(3, 4)))]
    for _ in range(2):
        table = prepared_table("a" * 64, blocks, n_voxels=3, what="betas")
        np.testing.assert_array_equal(table.take(np.array([3, 0])), VALUES[[3, 0]])
    assert len(calls) == 2
    assert table.dtype == np.float32


def test_a_block_of_another_shape_leaves_no_table(folder):
    with pytest.raises(DataError, match=r"part 1 of 1 has shape \(4, 3\); expected \(5, 3\)"):
        prepared_table("b" * 64, [Block(5, lambda: VALUES)], n_voxels=3, what="betas")
    assert not list(folder.rglob("responses.npy"))
