"""For the site: links to files of the tree, which it does not hold, become their text."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")


def on_page_markdown(markdown: str, **given: Any) -> str:
    """The page without links that leave ``docs/``."""
    return _OUTSIDE.sub(r"\1", markdown)
