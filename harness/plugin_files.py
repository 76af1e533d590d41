"""Plugins in files of their own, and the modules that lie beside them.

A file's folder can be imported from, as it can for ``python file.py``, but comes last: a neighbour never
shadows an installed package.  Modules are known to Python by one name each, so two plugin files from two
folders may not both have a neighbour called ``helper``; that is refused, since either would get the other's.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from .errors import PluginError

logger = logging.getLogger(__name__)

_OWNERS: dict[str, Path] = {}
"""Top-level name of a neighbour -> the folder that it was imported from."""


def module_from_file(path: Path) -> Any:
    """The module in the file `path`, executed once; its neighbours can be imported, then and later.

    Raises
    ------
    PluginError
        A neighbour has the name of another plugin file's neighbour.
    """
    # A name of its own per path: two files called model.py must not replace one another.
    name = f"harness_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    _claim(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # and it stays: functions may import when they are called
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _claim(path: Path) -> None:
    folder = path.parent
    for top in sorted({name.partition(".")[0] for name in neighbours(path)}):
        owner = _OWNERS.setdefault(top, folder)
        if owner != folder:
            raise PluginError(
                f"{path} imports '{top}' from {folder}, and another plugin file has a '{top}' in {owner}. "
                "Rename one of the two, or put both plugins into one folder"
            )


@lru_cache(maxsize=64)
def neighbours(path: Path) -> dict[str, Path]:
    """Module name -> file of what `path` imports from its own folder, directly and by way of such modules."""
    files: dict[str, Path] = {}
    pending = [("", path)]
    while pending:
        module, source = pending.pop()
        for name in imported_names(module, source):
            for dotted_name in _with_parents(name):
                file = _beside(path.parent, dotted_name)
                if file is not None and file != path and dotted_name not in files:
                    files[dotted_name] = file
                    pending.append((dotted_name, file))
    return files


def imported_names(module: str, file: Path) -> frozenset[str]:
    """Full names that `file`, which is `module`, imports anywhere, lazily too; some may be attributes."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return names_in(package, file.read_bytes())


@lru_cache(maxsize=4096)
def names_in(package: str, source: bytes) -> frozenset[str]:
    """Full names that the `source` of a module in `package` imports anywhere, lazily too."""
    names: set[str] = set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()  # it says so itself when it is imported
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                parent = ".".join(parts[: len(parts) - node.level + 1])
                base = ".".join(part for part in (parent, base) if part)
            names |= {name for name in (base, *(f"{base}.{alias.name}" for alias in node.names)) if name}
    return frozenset(names)


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of a statement that hold statements."""


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements of a module, at any depth; expressions, which are ten times as many, hold none."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield node
        for block in _BLOCKS:
            pending += getattr(node, block, ())


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]


def _beside(folder: Path, name: str) -> Path | None:
    """The file of module `name` in `folder`, unless an installed package or the library has that name."""
    place = folder.joinpath(*name.split("."))
    file = next(
        (f for f in (place / "__init__.py", place.with_name(f"{place.name}.py")) if f.is_file()), None
    )
    if file is None:
        return None
    top = name.partition(".")[0]
    if _installed(top, folder):
        if "." not in name:
            logger.warning("'%s' is an installed package too: it is imported, and not %s", top, file)
        return None
    return file


def _installed(top: str, folder: Path) -> bool:
    """Whether the library or an installed package has the name `top`, plugin files' folders aside."""
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return True
    own = {folder, *_OWNERS.values()}
    places = {file for at in own for file in (at / f"{top}.py", at / top / "__init__.py", at / top)}
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() not in own]
    for finder in filter(lambda finder: hasattr(finder, "find_spec"), sys.meta_path):
        spec = finder.find_spec(top, elsewhere if finder is PathFinder else None)
        if spec is None:
            continue
        origin = spec.origin or next(iter(spec.submodule_search_locations or ()), "")
        if origin and Path(origin).resolve() not in places:
            return True
    return False
