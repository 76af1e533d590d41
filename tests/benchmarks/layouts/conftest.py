"""Terms of the written folders are accepted, and their tables lie in the test's own folder."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_ACCEPT_TERMS", "nsd,laion-fmri")
    monkeypatch.setenv("HARNESS_PREPARED", str(tmp_path / "prepared"))
