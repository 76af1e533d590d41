"""What a run cost is counted of what it wrote."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save_file

from harness.run.costs import fitted_parameters, peak_device_memory_mb, peak_memory_mb, stored_numbers
from harness.storage.store import Store


def test_floating_point_numbers_of_every_kind_of_file_are_counted(tmp_path):
    (tmp_path / "deeper").mkdir()
    tensors = {"weight": np.zeros((3, 4), np.float16), "steps": np.zeros(7, np.int64)}
    save_file(tensors, tmp_path / "deeper" / "net.safetensors", metadata={"note": "no tensor"})
    np.save(tmp_path / "penalty.npy", np.zeros(5, np.float32))
    np.save(tmp_path / "valid.npy", np.ones(9, bool))
    np.savez(tmp_path / "more.npz", mean=np.zeros(2), ids=np.array(["a", "b"]))
    (tmp_path / "params.json").write_text("{}")
    assert stored_numbers(tmp_path) == 12 + 5 + 2


def test_only_what_was_fitted_here_is_counted(tmp_path):
    store = Store(tmp_path)
    artifact = store.get("fit", {"of": "encoder"}, lambda folder: np.save(folder / "w.npy", np.zeros(6)))
    keys = {"encoder": artifact.key, "decoder": "", "encoder before its transfer": "0" * 64}
    assert fitted_parameters(keys, store) == {"encoder": 6}


def test_memory_is_of_this_process_and_none_of_a_device_that_is_not_used():
    assert 10 < peak_memory_mb() < 1e6
    assert peak_device_memory_mb("cpu") is None
