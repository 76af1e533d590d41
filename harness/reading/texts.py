"""Text files as other programs write them: byte order marks, UTF-16, any line ends."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from ..errors import DataError

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in what its byte order mark says; the mark is left out.

    Raises
    ------
    DataError
        Another encoding, or no text.
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
        where = 1 + text[: text.index("\0")].count("\n") if "\0" in text else 0
    except UnicodeDecodeError as problem:
        where = 1 + content[: problem.start].count(b"\n")
    if where:
        raise DataError(
            f"{path} cannot be read as text: line {where} is not UTF-8. It is damaged, truncated or not what "
            "its name says, or in another encoding; save it as UTF-8"
        )
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without the blank ones at its end; those between are kept."""
    lines = re.split(r"\r\n|\r|\n", read_text(path))
    while lines and not lines[-1].strip():
        lines.pop()
    return lines
