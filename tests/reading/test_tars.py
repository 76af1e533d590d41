"""Archives of samples, read from one end to the other or where a member lies."""

from __future__ import annotations

import numpy as np
import pytest
from layout_files import npy, write_tar

from harness.api import DataError
from harness.reading.tars import array_of, members, samples


def test_samples_and_members_hold_the_same(tmp_path):
    values = [np.arange(k, k + 3) for k in range(4)]
    write_tar(tmp_path / "a.tar", [{"x.npy": npy(v), "txt": str(v[0]).encode()} for v in values])
    in_order = list(samples(tmp_path / "a.tar"))
    assert [key for key, _ in in_order] == [f"sample{k:09d}" for k in range(4)]
    for (key, sample), value in zip(in_order, values):
        np.testing.assert_array_equal(array_of(sample["x.npy"], what=key), value)
    listed = [member for member in members(tmp_path / "a.tar") if member.name == "x.npy"]
    np.testing.assert_array_equal(listed[2].array(), values[2])


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.tar cannot be read"):
        list(samples(tmp_path / "a.tar"))
