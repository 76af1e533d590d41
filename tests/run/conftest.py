"""What the tests of runs share."""

from __future__ import annotations

import pytest
from public_mindeye2 import build_generator, write_public_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as MindEye2's public one, its networks small."""
    return write_public_folder(tmp_path_factory.mktemp("mindeyev2"), build_generator())
