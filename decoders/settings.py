"""From a decoder's parameters to the settings of its parts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def part_of(params: Any, kind: type[Kind], **given: Any) -> Kind:
    """The dataclass `kind` of what is `given` and of the fields that `params` has too."""
    shared = {f.name: getattr(params, f.name) for f in fields(kind) if hasattr(params, f.name)}
    return kind(**{**shared, **given})
