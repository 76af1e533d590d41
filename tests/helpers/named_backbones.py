"""Backbones by name, and small twins of them: the class of a row exchanged, its arguments kept."""

from __future__ import annotations

from typing import Any

from harness import plugins


def backbone_named(name: str, twin: type | None = None) -> Any:
    """The backbone `name` before it is opened, or `twin` built with the arguments of its row."""
    ref = plugins.find("backbones", name)
    return ref.load()() if twin is None else twin(**dict(ref.arguments))


def opened(backbone: Any) -> Any:
    """`backbone`, opened on the CPU."""
    backbone.open(device="cpu")
    return backbone
