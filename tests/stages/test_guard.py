"""A plugin is not blamed for what is not its fault."""

from __future__ import annotations

import errno

import pytest

from harness.errors import PluginError, StoreError
from harness.plugins import PluginRef
from harness.stages.guard import guarded


def test_a_plugin_is_not_blamed_for_the_disk(tmp_path):
    ref = PluginRef("encoders", "mine", "mine:Mine", "file", "")

    def full() -> None:
        raise OSError("500 requested and 262 written")

    def refused() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere/weights.pt")

    with pytest.raises(StoreError, match="no space left on the disk"):
        guarded(ref, "fails while predicting", full)
    with pytest.raises(PluginError, match=r"/somewhere/weights\.pt"):
        guarded(ref, "fails while saving", refused, place=tmp_path)
