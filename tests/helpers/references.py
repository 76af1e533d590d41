"""What docstrings, comments and pages refer to, and whether it is there: by reading, without an import."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import sources
from commands import ROOT
from sources import absolute, modules

import harness

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]*)`")
DOTTED = re.compile(r"(?<![\w./-])harness(?:\.[A-Za-z_]\w*)+(?![\w*])")
FILE = re.compile(
    r"(?<![\w./-])(?:harness|encoders|decoders|benchmarks|reports|configs|tests|docs)(?:/[\w.-]+)+"
)
ELSEWHERE = ("numpy", "torch", "pandas", "h5py")
"""Libraries that are referred to and not read here."""

ENTRY_POINTS = ("harness.catalogues",)
"""Groups of entry points that are no module of that name."""

PLACEHOLDER = "NAME"
SUFFIXES = (".py", ".yaml", ".md", ".json", ".cfg", ".toml")


def members(nodes: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Names that statements bind, also under an ``if`` or ``try``."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name, node) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from ((n.id, node) for n in ast.walk(target) if isinstance(n, ast.Name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from members([*node.body, *getattr(node, "orelse", [])])


@cache
def bound(module: str) -> dict[str, ast.AST]:
    """Name -> node of what a module binds at its top level."""
    return dict(members(ast.parse(modules()[module].read_text()).body))


def _assigned(node: ast.ClassDef) -> set[str]:
    """Attributes that methods set on ``self`` or ``cls``."""
    targets = (n for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store))
    return {n.attr for n in targets if ast.unparse(n.value) in ("self", "cls")}


def _has(module: str, node: ast.AST, path: list[str]) -> bool:
    """Whether a class of `module`, or what it inherits from, has the attribute `path`."""
    if not path:
        return True
    if not isinstance(node, ast.ClassDef):
        return isinstance(node, ast.Import)
    inside = dict(members(node.body))
    if path[0] in inside:
        return _has(module, inside[path[0]], path[1:])
    if path[0] in _assigned(node):
        return True
    return any(_inside(module, [*ast.unparse(base).split("."), *path]) for base in node.bases)


def _inside(module: str, path: list[str]) -> bool:
    """Whether `path` is bound in `module`, followed to where it is defined."""
    node = bound(module).get(path[0])
    if not isinstance(node, ast.ImportFrom):
        return node is not None and _has(module, node, path[1:])
    base = absolute(modules()[module], node.level, node.module or "")
    original = next(alias.name for alias in node.names if (alias.asname or alias.name) == path[0])
    return not base.startswith("harness") or resolves(".".join([base, original, *path[1:]]))


@cache
def imported(module: str) -> frozenset[str]:
    """Modules of this project that `module` imports, lazily, by a row of a catalogue or by a command."""
    source = modules()[module].read_text()
    names = {f"tests.helpers.{name}" for name in re.findall(r"^(?:from|import) (\w+)", source, re.M)}
    names |= set(re.findall(r"(harness(?:\.\w+)+):\w", source))
    if module.endswith(".catalogue") and module.count(".") > 1:
        rows = importlib.import_module(module).ROWS
        names |= {c.module for row in rows for c in (row.calls() if hasattr(row, "calls") else [row.build])}
    if module.startswith("tests.") and re.search(r"\b(?:call_)?harness\(|CliRunner", source):
        names |= {"harness.run.pipeline", "harness.run.record"}
    if module.startswith("tests.") and re.search(r"^(?:from|import) golden\b", source, re.M):
        names |= {name for name in modules() if name.startswith("tests.golden.")}  # found by their names
    if module == "harness.plugins":
        names |= {name for name in modules() if name.endswith(".catalogue")}
    return frozenset((names | sources.imported(modules()[module])) & modules().keys())


def reached(module: str) -> set[str]:
    """All that `module` imports, directly or through what it imports."""
    return sources.reached(module, imported)


def resolves(name: str, module: str = "") -> bool:
    """Whether `name` is a module or something in one: absolute, or as it is read within `module`.

    There it is what the module binds, a member of one of its classes, or, after dots, a neighbour.
    """
    if name.startswith(".") and module in modules():
        bare = name.lstrip(".")
        return resolves(absolute(modules()[module], len(name) - len(bare), bare))
    path = name.split(".")
    if path[0] == "harness":
        if (door := harness._DOORS.get(".".join(path[1:2]), ("", "")))[1]:  # imported when it is first used
            path = ["harness", *door, *path[2:]]
        for length in range(len(path), 0, -1):
            if (base := ".".join(path[:length])) in modules():
                return length == len(path) or _inside(base, path[length:])
        return False
    if module not in modules():
        return False
    if (helper := f"tests.helpers.{path[0]}") in modules() and module.startswith("tests."):
        return len(path) == 1 or _inside(helper, path[1:])  # imported by its bare name
    if (own := f"tests.{path[0]}.{'.'.join(path[1:2])}") in modules() and module.startswith("tests."):
        return len(path) == 2 or _inside(own, path[2:])
    classes = (node for node in bound(module).values() if isinstance(node, ast.ClassDef))
    return _inside(module, path) or any(_has(module, node, path) for node in classes)


@cache
def texts(file: Path) -> tuple[tuple[int, str], ...]:
    """(line, text) of the docstrings, other text standing alone, and comments of a Python file."""
    source, lines = file.read_text(), []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines.append((node.lineno, node.value.value))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines.append((token.start[0], token.string))
    return tuple(lines)


def unresolved(text: str, module: str = "") -> Iterator[str]:
    """What `text` refers to and what is not there; `module` is the one in which it stands."""
    for name in (re.sub(r"\s+", "", role) for role in ROLE.findall(text)):
        if not resolves(name, module) and name.partition(".")[0] not in ELSEWHERE:
            yield name
    for name in DOTTED.findall(ROLE.sub("", text)):
        if not resolves(name) and name not in ENTRY_POINTS and PLACEHOLDER not in name:
            yield name
    for path in (path.rstrip(".") for path in FILE.findall(text)):
        is_file = path.endswith(SUFFIXES) or "." not in path.rpartition("/")[2]
        if is_file and PLACEHOLDER not in path and not (ROOT / path).exists():
            yield path
