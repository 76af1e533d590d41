"""The subject that small decoders are fitted on."""

from __future__ import annotations

import pytest

from harness.testing import toy_subject


@pytest.fixture(scope="session")
def subject():
    return toy_subject("toy01", n_train=24, n_test=4, side=16)
