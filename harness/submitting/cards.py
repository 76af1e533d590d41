"""Cards of the plugins of a run, from what they say of themselves."""

from __future__ import annotations

import ast
import importlib
import inspect
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from ..errors import HarnessError
from ..places import expanded
from ..plugins import PluginRef, find
from ..run.flags.provenance import declarations
from ..run.overlaps import Declared
from ..run.plan import Plan
from ..run_record import PluginRecord, RunRecord
from .document import Card

KINDS = ("benchmark", "encoder", "decoder")

DESCRIBED = ("name", "version", "dist", "dist_version", "file_sha")
"""What a card says as the record does."""


def cards_of(record: RunRecord, plan: Plan | None) -> tuple[Card, ...]:
    """A card for each plugin of a run.

    plan : the run's plan where its plugins may be called, so that they say what they were trained on.
    """
    declared = {} if plan is None else declarations(plan)
    cards = []
    for kind in KINDS:
        described: PluginRecord | None = getattr(record, kind)
        if described is None:
            continue
        ref = None if is_file(described.name) else installed(kind, described)
        words = {"licence": "", "citation": ""}
        if ref is not None:
            words = {"licence": _licence(ref), "citation": _citation(ref)}
        elif is_file(described.name):
            words["citation"] = _docstring(described.name)
        own = declared.get(kind, Declared(kind))
        cards.append(
            Card(
                kind=kind,
                **{name: getattr(described, name) for name in DESCRIBED},
                params=public_params(described.params),
                **words,
                training_sets=own.sets,
                training_images=len(own.hashes),
                networks=own.networks,
            )
        )
    return tuple(cards)


def is_file(name: str) -> bool:
    """Whether a plugin goes by the name ``path/file.py:Class``: code that came with a user, not a package."""
    return name.rpartition(":")[0].endswith(".py") or name.endswith(".py")


def installed(kind: str, described: PluginRecord) -> PluginRef | None:
    """The installed plugin that a record describes; None where it is none, or is not here."""
    if is_file(described.name) or described.made_elsewhere:
        return None
    name = described.name
    versioned = f"{name}@{described.version}" if kind == "benchmark" else name
    try:
        return find(f"{kind}s", versioned)
    except HarnessError:
        return None


def public_params(value: Any) -> Any:
    """`value` with absolute paths cut down to their last part: where a file lay is nobody's business."""
    if isinstance(value, dict):
        return {key: public_params(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [public_params(item) for item in value]
    if isinstance(value, str) and (value.startswith("~") or Path(value).is_absolute()):
        return Path(value).name
    return value


def _licence(ref: PluginRef) -> str:
    licence = getattr(_class(ref), "licence", "")
    if licence:
        return str(licence)
    try:
        about = metadata(ref.dist)
    except PackageNotFoundError:
        return ""
    return about.get("License-Expression") or about.get("License") or ""


def _citation(ref: PluginRef) -> str:
    kind = _class(ref)
    if citation := getattr(kind, "citation", ""):
        return str(citation)
    module = importlib.import_module(kind.__module__)
    package = importlib.import_module(module.__package__) if module.__package__ else module
    own = package.__doc__ if kind.__name__ in getattr(package, "__all__", ()) else module.__doc__
    return _paragraph(own or module.__doc__ or "")


def _class(ref: PluginRef) -> Any:
    loaded = ref.load()
    return getattr(loaded, "func", loaded)  # a class, or one with a row's arguments bound


def _docstring(name: str) -> str:
    """First paragraph of the docstring of a plugin's file, which is read and not executed."""
    file = expanded(name.rpartition(":")[0] or name)
    try:
        return _paragraph(ast.get_docstring(ast.parse(file.read_bytes())) or "")
    except (OSError, SyntaxError, ValueError):
        return ""


def _paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())
