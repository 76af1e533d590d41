"""What plugins may use is there, and said."""

from __future__ import annotations

import re

from harness import toolkit


def test_the_docstring_names_everything_that_is_there():
    named = set(re.findall(r"`(\w+)`", toolkit.__doc__))
    assert set(toolkit.__all__) == named
    assert all(hasattr(toolkit, name) for name in named)
