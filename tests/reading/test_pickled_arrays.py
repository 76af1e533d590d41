"""Arrays of a pickled object are read without its class; what a pickle could run is not run."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hostile_pickles import Runs
from sklearn.linear_model import Ridge

from harness.api import DataError
from harness.reading.pickled_arrays import read_pickled_arrays

RIDGE = "sklearn.linear_model._ridge.Ridge"


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_order_and_type(tmp_path, protocol, dtype, order):
    model = Ridge(alpha=np.float64(3))
    model.coef_ = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)
    model.intercept_ = np.arange(3.0)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model, protocol=protocol))
    held = read_pickled_arrays(tmp_path / "model.pkl", of=RIDGE, names=("coef_", "intercept_"))
    assert np.array_equal(held["coef_"], model.coef_)
    assert held["coef_"].dtype == model.coef_.dtype
    assert np.array_equal(held["intercept_"], np.arange(3.0))


def test_whatever_else_is_refused_and_not_run(tmp_path):
    file, marker = tmp_path / "model.pkl", tmp_path / "ran"
    hostile = Ridge()
    hostile.coef_, hostile.intercept_ = Runs(marker), np.zeros(1)
    texts = Ridge()
    texts.coef_, texts.intercept_ = np.array(["a"]), np.zeros(1)
    things = Ridge()
    things.coef_, things.intercept_ = np.array([{}], object), np.zeros(1)
    for content in (hostile, texts, things, Ridge(), Runs(marker), OrderedDict(coef_=1), {"coef_": 1}, [1]):
        file.write_bytes(pickle.dumps(content))
        with pytest.raises(DataError, match="is no pickled") as problem:
            read_pickled_arrays(file, of=RIDGE, names=("coef_", "intercept_"))
        assert "\n" not in str(problem.value)
    plain = Ridge()
    plain.coef_ = np.zeros((2, 2))
    for protocol, wanted in ((2, "_codecs.encode"), (5, "_frombuffer")):
        file.write_bytes(pickle.dumps(plain, protocol=protocol))
        with pytest.raises(DataError, match=f"it wants .*{wanted}"):
            read_pickled_arrays(file, of=RIDGE, names=("coef_",))
    file.write_bytes(b"no pickle")
    with pytest.raises(DataError, match="is no pickled"):
        read_pickled_arrays(file, of=RIDGE, names=("coef_",))
    with pytest.raises(DataError, match="there is no file"):
        read_pickled_arrays(tmp_path / "absent.pkl", of=RIDGE, names=("coef_",))
    assert not marker.exists()
