"""A pickled table of names is read; what a pickle could run is not run."""

from __future__ import annotations

import numpy as np
import pytest
from hostile_pickles import Runs

from harness.api import DataError
from harness.reading.pickled_names import read_pickled_names


def test_a_dictionary_of_numbers_and_names(tmp_path):
    np.save(tmp_path / "names.npy", {0: "Unknown", 1: "V1v", 12: "hV4"})
    assert read_pickled_names(tmp_path / "names.npy") == {0: "Unknown", 1: "V1v", 12: "hV4"}


def test_whatever_else_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "ran"
    for content in ({0: Runs(marker)}, Runs(marker), {"V1": 1}, ["V1"], {1: 2}):
        np.save(tmp_path / "names.npy", np.array(content, object), allow_pickle=True)
        with pytest.raises(DataError):
            read_pickled_names(tmp_path / "names.npy")
    np.save(tmp_path / "names.npy", np.arange(3))
    with pytest.raises(DataError, match="is no table of region names"):
        read_pickled_names(tmp_path / "names.npy")
    assert not marker.exists()
