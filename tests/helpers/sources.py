"""Python files of this tree: the modules that they are, and what they import; by reading, each once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from commands import ROOT

FOLDERS = ("harness", "encoders", "decoders", "benchmarks", "reports", "configs", "tests")


def is_script(file: Path) -> bool:
    """A training script of the tiny networks: run by hand, its log beside it says what came of it."""
    return file.parent.name == "tiny" and file.name.startswith("train_")


def module_name(file: Path) -> str:
    """The name under which `file` is imported."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] in ("harness", "tests") else ("harness", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Name -> file of every module here; those of the tests begin with ``tests``."""
    return {module_name(file): file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}


def absolute(file: Path, level: int, name: str) -> str:
    """The absolute name of what `level` dots and `name` mean in `file`."""
    if not level:
        return name
    package = module_name(file).split(".")
    if file.name != "__init__.py":
        package = package[:-1]
    return ".".join([*package[: len(package) - level + 1], *([name] if name else [])])


class Import(NamedTuple):
    """One name that a file imports: of a module (absolute), or ``""`` for the module itself."""

    module: str
    name: str
    level: int
    line: int


@cache
def imports(file: Path) -> tuple[Import, ...]:
    """All that `file` imports, lazily or not."""
    entries = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            entries += [Import(alias.name, "", 0, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = absolute(file, node.level, node.module or "")
            entries += [Import(module, alias.name, node.level, node.lineno) for alias in node.names]
    return tuple(entries)


@cache
def imported(file: Path) -> frozenset[str]:
    """Absolute names of all modules that `file` imports, and of what it imports of them."""
    entries = imports(file)
    return frozenset({e.module for e in entries} | {f"{e.module}.{e.name}" for e in entries if e.name})


def reached(start: str, ahead: Callable[[str], Iterable[str]]) -> set[str]:
    """All that `ahead` leads to from `start`, directly or not."""
    seen, pending = set(), [start]
    while pending:
        fresh = set(ahead(pending.pop())) - seen
        seen |= fresh
        pending += fresh
    return seen
