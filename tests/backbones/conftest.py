"""Generated weights where ``harness prefetch`` would put published ones."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.backbones import weights


@pytest.fixture
def store(tmp_path, monkeypatch):
    """``store(name, state)`` puts generated weights where ``harness prefetch NAME`` would."""
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))

    def put(name: str, state: dict[str, torch.Tensor]) -> Path:
        file = tmp_path / weights.WEIGHTS[name].file_name
        if file.suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file({key: value.contiguous() for key, value in state.items()}, file)
        else:
            torch.save(state, file)
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        pin = replace(weights.WEIGHTS[name], sha256_prefix=sha)
        monkeypatch.setitem(weights.WEIGHTS, name, pin)
        return weights.fetch(name, source=file)

    return put
