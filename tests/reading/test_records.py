"""Tables of records by the heads of their columns."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import DataError
from harness.reading.records import read_records


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("b.csv", ";")])
def test_columns_by_their_heads(name, delimiter, tmp_path):
    lines = ["image,run,score", "cat,1,0.5", "dog,2,n/a"]
    (tmp_path / name).write_text("\n".join(lines).replace(",", delimiter) + "\n")
    records = read_records(tmp_path / name, needs=("image", "run"))
    assert records.text("image") == ("cat", "dog")
    np.testing.assert_array_equal(records.integers("run"), [1, 2])
    np.testing.assert_array_equal(records.numbers("score"), [0.5, np.nan])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image\n", "holds no row below its heads"),
        ("image,image\na,b\n", "two columns called 'image'"),
        ("image,run\na\n", "has 1 entries in row 1 and 2 heads"),
        ("imag,run\na,1\n", "did you mean 'imag'"),
        ("image,run\na,x\n", "row 1 of 'run' is 'x'; expected a number"),
        ("image,run\na,1.5\n", "row 1 of 'run' is '1.5'; expected a whole number"),
    ],
)
def test_a_table_that_is_none_is_refused(content, message, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_records(tmp_path / "a.csv", needs=("image",)).integers("run")
