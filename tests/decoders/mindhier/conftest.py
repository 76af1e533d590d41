"""Small files in the public layout."""

from __future__ import annotations

import pytest
from public_mindhier import write_public_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return write_public_folder(tmp_path_factory.mktemp("mindhier"))
