"""What a thing is, as a hash: the parts of a cache key.

A key that forgets an ingredient serves wrong numbers silently, so a key holds the source of the
plugin *and of every module of this package or its own that it imports*, weights, parameters, data,
seed, micro-batch size, device kind, versions of the libraries that compute, and schema.  Whatever has
no identity is never cached (:data:`UNKNOWN`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from ..plugin_files import imported_names, neighbours
from ..plugins import PluginRef
from .content import digest

logger = logging.getLogger(__name__)

LIBRARIES = (
    *("numpy", "scipy", "torch", "torchvision", "transformers", "diffusers", "tokenizers"),
    *("open-clip-torch", "mamba-ssm", "scikit-learn", "himalaya", "pillow"),
)
"""Distributions whose numbers are in artifacts; another version of one of them is another key."""

UNKNOWN = ""
"""The identity of what cannot be identified; an artifact with such an ingredient is not kept."""


def code_sha(ref: PluginRef) -> str:
    """Hash of the plugin's source, of all it imports from ``harness``, its own package or its folder, and of
    its row.

    Its folder is that of a plugin in a file of its own (:mod:`harness.plugin_files`).
    """
    file = ref.source_file()
    if file is None or not file.is_file():
        return UNKNOWN
    name = "" if ref.path else ref.module
    closure = _closure_sha(name, file)
    return digest([closure, ref.arguments]) if ref.arguments else closure


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


def named_files(params: Any, *, base: Path | None = None) -> dict[str, str]:
    """Parameter -> hash of the file or folder that its value names; relative names from `base` or from here.

    Looks into nested dataclasses, mappings and sequences.  A folder's hash is that of its files.
    """
    hashes = {}
    for where, text in _texts(params, ""):
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # no name of a file
            path = (base or Path()) / Path(text).expanduser()
            if path.is_file() or path.is_dir():
                hashes[where] = _content_sha(path)
    return hashes


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """(place, text) of every string and path in `value`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, (str, Path)):
        if str(value):
            yield where, str(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _texts(item, f"{where}.{number}")


WHOLE = 256 * 2**20
"""Bytes up to which a file that a parameter names, or all files of a folder, are hashed whole."""

FOLDER = 10_000
"""Files of a folder up to which it is known by their content, and beyond by its own time of change."""


def _content_sha(path: Path) -> str:
    """Hash of a file, or of a folder's files and their names."""
    if path.is_file():
        return _file_sha(path, whole=path.stat().st_size <= WHOLE)
    files = list(itertools.islice(_files_in(path), FOLDER + 1))
    if len(files) > FOLDER:
        logger.warning(
            "%s, which a parameter names, holds more than %d files: only files that come and go at its top "
            "are noticed, and not what changes in them",
            *(path, FOLDER),
        )
        return digest([path.stat().st_mtime_ns])
    files = [file for file in files if file.is_file()]
    whole = sum(file.stat().st_size for file in files) <= WHOLE
    return digest(sorted((str(file.relative_to(path)), _file_sha(file, whole=whole)) for file in files))


def _files_in(path: Path) -> Iterator[Path]:
    """Files of a folder without what is hidden or compiled, and without stores and runs, which we change."""
    for folder, folders, names in os.walk(path):
        if Path(folder) != path and not {"store.json", "run.json"}.isdisjoint(names):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _file_sha(file: Path, *, whole: bool) -> str:
    """Hash of a file's bytes; where not `whole`, of its size, time of change and both ends."""
    with open(file, "rb") as stream:
        if whole:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        state = os.fstat(stream.fileno())
        ends = stream.read(ENDS)
        stream.seek(max(0, state.st_size - ENDS))
        ends += stream.read(ENDS)
    return digest([state.st_size, state.st_mtime_ns, hashlib.sha256(ends).hexdigest()])


ENDS = 2**16
"""Bytes of each end of a large file."""


def modules_sha(modules: Iterable[str]) -> str:
    """Hash of the source of `modules` and of all that they import from ``harness`` or their own packages."""
    files = {module: _find(module) for module in modules}
    if any(file is None for file in files.values()):
        return UNKNOWN
    return digest({module: _closure_sha(module, file) for module, file in files.items()})


def function_identity(function: Callable[..., Any]) -> dict[str, Any]:
    """What the numbers of a module-level `function` depend on besides its arguments.

    Its name, and the source of its module and of all that this imports from ``harness`` or its own package.
    The versions of libraries are in every key anyhow.
    """
    module = sys.modules[function.__module__]
    return {
        "name": f"{module.__name__}:{function.__qualname__}",
        "code": _closure_sha(module.__name__, Path(module.__file__)),
    }


@lru_cache(maxsize=256)
def _closure_sha(name: str, file: Path) -> str:
    """Hash of the module `name` in `file` and of all that it imports from ``harness`` or its own package."""
    roots = {"harness", name.partition(".")[0]} - {""}
    files: dict[str, Path] = {}
    pending = [(name or file.stem, file)]
    if not name:
        pending += neighbours(file).items()
    while pending:
        module, source = pending.pop()
        if module in files:
            continue
        files[module] = source
        names = imported_names(module, source)
        pending += [
            (name, source_file)
            for name in names
            if name.partition(".")[0] in roots
            and name not in files
            and (source_file := _find(name)) is not None
        ]
    sha = hashlib.sha256()
    for module in sorted(files):
        sha.update(module.encode() + b"\0" + files[module].read_bytes() + b"\0")
    return sha.hexdigest()


def _find(name: str) -> Path | None:
    """The file of the module `name`; None for what is no module, as what is imported from one need not be."""
    parent = name.rpartition(".")[0]
    # To look into a parent is to import it, and a module that is no package would be for nothing.
    if parent and not _is_package(parent):
        return None
    spec = _spec(name)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _is_package(name: str) -> bool:
    parent = name.rpartition(".")[0]
    spec = _spec(name) if not parent or _is_package(parent) else None
    return spec is not None and spec.submodule_search_locations is not None


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
