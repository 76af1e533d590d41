"""What a plugin is, in a line, and what its parameters are.

The line is read from the plugin's source, which is parsed and not imported, so that all plugins are
described in a second and a broken one like any other.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..plugins import PluginRef
from ..storage.content import plain

_DEPTH = 4
"""Modules that are looked through for a class which a package imports from another."""

_SEE = re.compile(r"See :func:`(?P<name>\w+)`(?P<rest>.*)")
_ROLE = re.compile(r"(?::\w+:)?`+([^`]*)`+")
_DOCUMENTED = re.compile(r"(?P<names>\w+(?:, \w+)*) : (?P<text>.*)")


@dataclass(frozen=True)
class Parameter:
    """One field of a plugin's ``Params``: type and default as text, `text` from the docstring."""

    name: str
    type: str
    default: str
    text: str


def summary(ref: PluginRef) -> str:
    """What a plugin says of itself in a line; ``""`` when not found.

    Of a metric its row's label and meaning, else the first line of the class's docstring.
    """
    if ref.row is not None:
        return f"{ref.row.label}: {ref.row.meaning}" if ref.row.meaning else ref.row.label
    file = Path(ref.path) if ref.path else _file_of(ref.module)
    node_and_body = _class_in(file, ref.target.partition(":")[2]) if file else None
    if node_and_body is None:
        return ""
    node, body = node_and_body
    return _first_line(node, body)


def parameters(params: type) -> list[Parameter]:
    """The fields of the dataclass `params`, and those of dataclasses in them as ``field.inner``.

    What its docstring does not say of an inherited one, that of its base does.
    """
    texts, hints = {}, typing.get_type_hints(params)
    for base in reversed(params.__mro__):
        texts |= documented(inspect.cleandoc(base.__doc__ or ""))
    listed = []
    for field in dataclasses.fields(params):
        if not field.init:
            continue
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
        listed.append(Parameter(field.name, kind, _default(field), texts.get(field.name, "")))
        inner = [t for t in (hints[field.name], *typing.get_args(hints[field.name])) if is_dataclass(t)]
        if inner:
            listed += [replace(p, name=f"{field.name}.{p.name}") for p in parameters(inner[0])]
    return listed


def documented(docstring: str) -> dict[str, str]:
    """Parameter -> text of a docstring's entries ``name, name : text``, continued on indented lines."""
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.splitlines():
        entry = _DOCUMENTED.fullmatch(line)
        if entry:
            names = entry["names"].split(", ")
            texts |= dict.fromkeys(names, entry["text"])
        elif names and line.startswith(" "):
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
        else:
            names = []
    return texts


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    elif field.default is not dataclasses.MISSING:
        value = field.default
    else:
        return "(must be given)"
    value = plain(value)
    return repr(value) if isinstance(value, str) else str(value)


def _file_of(module: str) -> Path | None:
    """The source of `module`, found without importing the packages that it lies in.

    Of this package's own only ``harness.encoders`` and the like are looked up as modules, which may lie
    anywhere and import nothing.
    """
    parts = module.split(".")
    outer = 2 if parts[0] == "harness" else 1
    try:
        spec = importlib.util.find_spec(".".join(parts[:outer]))
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None:
        return None
    if len(parts) <= outer:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    sources = (_source(Path(folder), parts[outer:]) for folder in spec.submodule_search_locations or ())
    return next(filter(None, sources), None)


def _source(folder: Path, parts: Sequence[str]) -> Path | None:
    """The file of the module `parts` in `folder`."""
    place = folder.joinpath(*parts)
    return next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()), None)


@lru_cache(maxsize=256)
def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _class_in(file: Path, name: str, depth: int = _DEPTH) -> tuple[ast.ClassDef, list[ast.stmt]] | None:
    """The class called `name` of `file` and the module around it, through imports of it from a neighbour."""
    tree = _parsed(file)
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node, tree.body
        if isinstance(node, ast.ImportFrom) and node.level and node.module and depth:
            original = next((a.name for a in node.names if (a.asname or a.name) == name), None)
            beside = _source(file.parents[node.level - 1], node.module.split(".")) if original else None
            if beside:
                return _class_in(beside, original, depth - 1)
    return None


def _first_line(node: ast.ClassDef, body: list[ast.stmt]) -> str:
    """First line of the docstring, of the function that it refers to, or of a base class's, all of `body`."""
    if doc := ast.get_docstring(node):
        line = doc.splitlines()[0].strip()
        if see := _SEE.match(line):
            functions = {f.name: f for f in body if isinstance(f, ast.FunctionDef)}
            told = ast.get_docstring(functions[see["name"]]) if see["name"] in functions else None
            if told:
                line = f"{told.splitlines()[0].strip().rstrip('.')}{see['rest']}"
        return _ROLE.sub(r"\1", line)
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    inherited = (_first_line(c, body) for c in body if isinstance(c, ast.ClassDef) and c.name in bases)
    return next(filter(None, inherited), "")
