"""Files of MindEye2 in the public layout, small."""

from __future__ import annotations

import pytest
from public_mindeye2 import build_generator, write_public_folder


@pytest.fixture(scope="module")
def built():
    return build_generator()


@pytest.fixture(scope="module")
def folder(built, tmp_path_factory):
    """A folder as the public one, its networks small."""
    return write_public_folder(tmp_path_factory.mktemp("mindeyev2"), built)
