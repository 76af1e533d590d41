"""What a thing is, as a hash: the parts of a cache key.

A key that forgets an ingredient serves wrong numbers silently, so a key holds the source of the
plugin *and of every module of this package or its own that it imports*, weights, parameters, data,
seed, micro-batch size, device kind, versions of the libraries that compute, and schema.  Whatever has
no identity is never cached (:data:`UNKNOWN`).
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .plugins import PluginRef

LIBRARIES = (
    *("numpy", "scipy", "torch", "torchvision", "transformers", "diffusers", "tokenizers"),
    *("scikit-learn", "scikit-image", "himalaya", "pillow"),
)
"""Distributions whose numbers are in artifacts; another version of one of them is another key."""

UNKNOWN = ""
"""The identity of what cannot be identified; an artifact with such an ingredient is not kept."""


def digest(value: Any) -> str:
    """SHA-256 of a canonical JSON form of nested dataclasses, mappings, sequences and scalars."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """`value` as JSON types; arrays become their dtype, shape and content hash."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(item) for item in items]
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), content]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def code_sha(ref: PluginRef) -> str:
    """Hash of the plugin's source and of all it imports from ``harness`` or its own package."""
    file = ref.source_file()
    if file is None or not file.is_file():
        return UNKNOWN
    name = "" if ref.path else ref.module
    return _closure_sha(name, file)


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """Installed version of each of :data:`LIBRARIES`, ``""`` where it is absent; imports none of them."""
    return {name: installed_version(name) for name in LIBRARIES}


def installed_version(name: str) -> str:
    """Version of the distribution `name`, ``""`` where it is absent."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def module_sha(module: str) -> str:
    """Hash of one module's source, for stages of the engine."""
    spec = importlib.util.find_spec(module)
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


@lru_cache(maxsize=256)
def _closure_sha(name: str, file: Path) -> str:
    roots = {"harness", name.partition(".")[0]} - {""}
    files: dict[str, Path] = {}
    pending = [(name or file.stem, file)]
    while pending:
        module, source = pending.pop()
        if module in files:
            continue
        files[module] = source
        pending += [pair for pair in _imports(module, source, roots) if pair[0] not in files]
    sha = hashlib.sha256()
    for module in sorted(files):
        sha.update(module.encode() + b"\0" + files[module].read_bytes() + b"\0")
    return sha.hexdigest()


def _imports(module: str, file: Path, roots: set[str]) -> list[tuple[str, Path]]:
    """(module, file) of every import of `file` that lies under one of `roots`, lazy ones too."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parent = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{parent}.{base}" if base else parent
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    found = []
    for name in names:
        if name.partition(".")[0] in roots:
            spec = _find(name)
            if spec is not None:
                found.append((name, spec))
    return found


def _find(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
