"""Captions of images in a ``.json`` file: one or several texts for each id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, quoted
from .ids import as_ids, require_ids
from .present import existing_file
from .texts import read_text

_FORMS = (
    'expected {"id": "caption"}, {"id": ["caption", ...]}, or COCO\'s [{"image_id": 1, "caption": "..."}]'
)


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Id -> its captions, one or more, in the order of the file.

    The file is an object of ids with a text or a list of texts each, or COCO's: a list of objects with
    ``image_id`` and ``caption`` (results), perhaps under ``annotations`` (references).

    Raises
    ------
    DataError
        The file is absent, is no JSON of that form, holds no caption, an id twice or a caption that is no
        text.
    """
    try:
        text = read_text(existing_file(path, expected="a .json of captions by image id"))
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (OSError, ValueError, RecursionError) as problem:
        raise DataError(f"{path} is no JSON that can be read ({problem}); {_FORMS}") from None
    if isinstance(content, _Pairs) and "annotations" in content.names():
        content = dict(content.pairs)["annotations"]
    pairs = list(_listed(content, path))
    captions: dict[str, tuple[str, ...]] = {}
    grouped = not isinstance(content, _Pairs)
    ids = as_ids((name for name, _ in pairs), what=str(path))
    require_ids(ids, what=str(path), unique=not grouped)
    for name, (_, given) in zip(ids, pairs):
        captions[name] = captions.get(name, ()) + _texts(given, name, path)
    if not captions:
        raise DataError(f"{path} holds no captions; {_FORMS}")
    return captions


class _Pairs:
    """A JSON object as it was written: keys may occur twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def names(self) -> list[str]:
        return [name for name, _ in self.pairs]


def _listed(content: Any, path: Path) -> Iterable[tuple[Any, Any]]:
    """(id, caption or captions) of either form."""
    if isinstance(content, _Pairs):
        return content.pairs
    entries = [dict(entry.pairs) if isinstance(entry, _Pairs) else None for entry in _sequence(content, path)]
    wrong = next((k for k, entry in enumerate(entries) if not _complete(entry)), None)
    if wrong is not None:
        raise DataError(f"{path}: entry {wrong} (from 0) has no image_id and caption; {_FORMS}")
    return [(entry["image_id"], entry["caption"]) for entry in entries if entry is not None]


def _sequence(content: Any, path: Path) -> list[Any]:
    if not isinstance(content, list):
        raise DataError(f"{path} holds {type(content).__name__}; {_FORMS}")
    return content


def _complete(entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and {"image_id", "caption"} <= entry.keys()


def _texts(given: Any, name: str, path: Path) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        shown = "nothing" if not texts else quoted(given) if not isinstance(given, _Pairs) else "an object"
        raise DataError(f"{path}: image '{name}' has {shown} for a caption; {_FORMS}")
    return tuple(texts)
