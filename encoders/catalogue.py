"""The encoders of this project, by name."""

from __future__ import annotations

from harness.catalogue import plugin

ROWS = (
    plugin("encoders", "chasm", "harness.encoders.chasm:ChasmEncoder"),
    plugin("encoders", "ridge", "harness.encoders.ridge:RidgeEncoder"),
)
