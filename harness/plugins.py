"""Plugin discovery: entry points are listed without importing anything and loaded one at a time.

A plugin is an entry point of its own or a row of a catalogue (:mod:`harness.catalogue`).  It is named by
that name (``ridge``), by distribution and name (``my-lab:ridge``), or by a file and a class
(``path/file.py:Class``).  A plugin that fails on import never hides another one, nor does one that
exits; two plugins of one name are an error only for who asks for that name without saying which.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, is_dataclass
from functools import cached_property, lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from . import api
from .catalogue import Metric
from .errors import DataError, PluginError, suggest, what_happened
from .isolation import declared_python, isolated_class
from .places import expanded
from .plugin_files import module_from_file
from .reading.present import existing_file

logger = logging.getLogger(__name__)

HARNESS = "fmri-harness"
"""The distribution of this project, by which its own plugins are known."""

GROUPS = ("encoders", "decoders", "benchmarks", "metrics", "backbones", "scorers")
CATALOGUES = "harness.catalogues"
"""Entry points that name whole catalogues."""

_REQUIRED = {
    "encoders": ("version", "Params", "stochastic", "wants", "fit", "predict", "save", "load"),
    "decoders": (
        *("version", "Params", "stochastic", "repeats", "trains_on", "transductive"),
        *("fit", "open", "decode", "save", "load"),
    ),
    "benchmarks": ("version", "Params", "simulated", "generated", "subjects", "load"),
    "backbones": ("version", "layers", "identity", "open", "extract"),
    "scorers": ("inputs", "expected", "reads", "problem", "prepare", "score"),
}


@dataclass(frozen=True)
class PluginRef:
    """Where a plugin comes from; picklable, loads nothing until :meth:`load`."""

    group: str
    name: str
    target: str  # "module:Class"
    dist: str  # distribution, or "file"
    dist_version: str
    path: str = ""  # file of a path plugin
    arguments: tuple[tuple[str, Any], ...] = ()  # of a catalogue's row, besides what all are built with
    row: Metric | None = None  # of a catalogue

    @property
    def kind(self) -> str:
        return self.group.removesuffix("s")

    @property
    def unversioned(self) -> str:
        """A benchmark's name without the version that says which of several it is (``embedded@1``)."""
        return self.name.partition("@")[0] if self.group == "benchmarks" and not self.path else self.name

    @cached_property
    def module(self) -> str:
        return self.target.partition(":")[0]

    def load(self) -> Any:
        """Import what builds the plugin and check its interface; every failure is a :class:`PluginError`.

        A class, or one with a row's arguments bound; of a metric, its row.
        """
        if self.row is not None:
            return self.row
        label = f"{self.kind} '{self.name}' ({self.dist})"
        try:
            python = declared_python(Path(self.path)) if self.path and self.group == "decoders" else None
            if python is not None:
                loaded = isolated_class(Path(self.path), self.target.rpartition(":")[2], python)
            elif self.path:
                module = module_from_file(Path(self.path))
                loaded = _named_in(module, self)
            else:
                loaded = EntryPoint(self.name, self.target, f"harness.{self.group}").load()
        except (KeyboardInterrupt, PluginError):
            raise
        except BaseException as problem:  # sys.exit on import, too, must not end a run as if it had succeeded
            relative = bool(self.path) and "relative import" in str(problem)
            hint = (
                ". A file imports what lies beside it by name: import helper, from helper import x" * relative
            )
            raise PluginError(f"{label} fails on import: {what_happened(problem)}{hint}") from problem
        if self.group == "metrics":
            if not isinstance(loaded, Metric):
                raise PluginError(f"{label} is no row but {type(loaded).__name__}; see harness.api.Metric")
            return loaded
        check_contract(self.group, loaded, label=label, dist=self.dist)
        return partial(loaded, **dict(self.arguments)) if self.arguments else loaded

    def source_file(self) -> Path | None:
        """The file that defines the plugin, found without importing the plugin; None if unknown."""
        if self.path:
            return Path(self.path)
        try:
            spec = importlib.util.find_spec(self.module)
        except Exception as problem:
            logger.debug("no source of %s: %s", self.target, problem)
            return None
        return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None

    def file_sha(self) -> str:
        """SHA-256 of the defining file, or ``""`` when there is none."""
        file = self.source_file()
        return hashlib.sha256(file.read_bytes()).hexdigest() if file and file.is_file() else ""


def available(group: str) -> list[PluginRef]:
    """Every installed plugin of `group`, by name; imports none of them."""
    return list(_installed(_search_path())[group])


def _search_path() -> tuple[tuple[str, float], ...]:
    """Where packages are looked for, with the times at which something was last put there."""
    entries = []
    for entry in sys.path:
        try:
            entries.append((entry, os.stat(entry or ".").st_mtime))
        except OSError:  # importlib.metadata passes over such entries too
            continue
    return tuple(entries)


# A plan asks for hundreds of plugins, and reading the metadata of a hundred installed packages for each
# of them took most of the seconds of a run in which nothing is left to compute.
@lru_cache(maxsize=4)
def _installed(search_path: tuple[tuple[str, float], ...]) -> dict[str, tuple[PluginRef, ...]]:
    """The plugins of every group; `search_path` is the cache's key."""
    refs: dict[str, list[PluginRef]] = {group: [] for group in GROUPS}
    present = entry_points()  # of every group at once: each call reads all distributions anew
    for group in GROUPS:
        refs[group] += [
            PluginRef(group, entry.name, entry.value, *_distribution(entry))
            for entry in present.select(group=f"harness.{group}")
        ]
    for entry in present.select(group=CATALOGUES):
        distribution = _distribution(entry)  # parses its metadata, once for all rows
        for row in _rows(entry):
            place = (row.group, row.name, row.build.target, *distribution)
            more = {"row": row} if isinstance(row, Metric) else {"arguments": row.build.arguments}
            refs[row.group].append(PluginRef(*place, **more))
    return {
        group: tuple(sorted(of_group, key=lambda ref: (ref.name, ref.dist)))
        for group, of_group in refs.items()
    }


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that `entry` belongs to."""
    # Metadata that are torn or half removed have neither.
    return (getattr(entry.dist, "name", None) or "unknown", getattr(entry.dist, "version", None) or "unknown")


def _rows(entry: EntryPoint) -> tuple[Any, ...]:
    """The rows of one catalogue; one that is broken hides no other, and says so."""
    try:
        rows = tuple(entry.load())
        unknown = [row.group for row in rows if row.group not in GROUPS]
        if unknown:
            raise PluginError(suggest(unknown[0], GROUPS, what="group"))
        return rows
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        dist, _ = _distribution(entry)
        logger.warning("the catalogue '%s' of %s is left out: %s", entry.name, dist, what_happened(problem))
        return ()


def doubled(refs: Iterable[PluginRef]) -> dict[str, list[PluginRef]]:
    """Names that more than one plugin claims."""
    by_name: dict[str, list[PluginRef]] = {}
    for ref in refs:
        by_name.setdefault(ref.name, []).append(ref)
    return {name: same for name, same in by_name.items() if len(same) > 1}


def find(group: str, spec: str) -> PluginRef:
    """The plugin that `spec` names: ``name``, ``distribution:name`` or ``path/file.py:Class``.

    A benchmark may be asked for as ``name@version``; it is refused in another version.
    """
    kind = group.removesuffix("s")
    file, colon, attribute = spec.rpartition(":")
    if colon and file.endswith(".py"):
        try:
            path = existing_file(file, expected=".py", may_be_empty=True).resolve()
        except DataError as problem:
            raise PluginError(f"{kind} '{spec}': {problem}") from None
        return PluginRef(group, spec, f"{path.stem}:{attribute}", "file", "", str(path))
    if spec.endswith(".py"):
        names = class_names(expanded(spec))
        choices = " or ".join(f"--{kind} {spec}:{name}" for name in names or ["ClassName"])
        raise PluginError(f"{kind} '{spec}' names a file but no class; type {choices}")
    refs = available(group)
    same = [ref for ref in refs if ref.name == spec or f"{ref.dist}:{ref.name}" == spec]
    if len(same) == 1:
        return same[0]
    name, at, version = spec.rpartition("@")
    if (
        group == "benchmarks"
        and at
        and not same
        and any(name in (r.name, f"{r.dist}:{r.name}") for r in refs)
    ):
        return _of_version(find(group, name), version, refs)
    if same:
        choices = " or ".join(f"--{kind} {ref.dist}:{ref.name}" for ref in same)
        raise PluginError(f"{len(same)} plugins are called {kind} '{spec}'; type {choices}")
    if words := _words_for_path(kind, spec):
        raise PluginError(f"{kind} '{spec}' is no plugin's name but a path; type {words}")
    raise PluginError(suggest(spec, {ref.name for ref in refs}, what=kind) + ". Type: harness list")


def _words_for_path(kind: str, spec: str) -> str:
    """What to type for what lies at the path `spec`; "" where nothing does, or nothing of it can be taken."""
    path = Path(spec)
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        return f"--config {spec}"
    forms = {
        "encoder": {"file": path.is_file()},
        "decoder": {"file": path.is_file(), "folder": path.is_dir()},
    }
    form = next((form for form, there in forms.get(kind, {}).items() if there), "")
    return f"--{kind} {form}:{spec}" if form else ""


def _of_version(ref: PluginRef, version: str, refs: Iterable[PluginRef]) -> PluginRef:
    """`ref` if that is its version; else the versions that there are, in a line."""
    present = str(ref.load().version)
    if present == version:
        return ref
    versions = {f"{ref.name}@{present}", *(r.name for r in refs if r.name.startswith(f"{ref.name}@"))}
    choices = " or ".join(f"--{ref.kind} {each}" for each in sorted(versions))
    raise PluginError(f"{ref.kind} '{ref.name}' has no version {version}; type {choices}")


def check_contract(group: str, plugin: Any, *, label: str = "the plugin", dist: str = "") -> None:
    """Raise :class:`PluginError` unless the class `plugin` has what `group` asks for."""
    kind = group.removesuffix("s")
    interface = getattr(plugin, "interface", api.INTERFACE)
    if interface != api.INTERFACE:
        remedy = f" Type: pip install -U {dist}" if dist else ""
        raise PluginError(
            f"{label} was written for interface {interface}; this harness speaks {api.INTERFACE}.{remedy}"
        )
    missing = [name for name in _REQUIRED[group] if not hasattr(plugin, name)]
    if missing:
        raise PluginError(f"{label} lacks {', '.join(missing)}; see harness.api.{kind.capitalize()}")
    if "Params" in _REQUIRED[group]:
        _check_params(plugin.Params, label)


def _check_params(params: Any, label: str) -> None:
    if isinstance(params, type) and is_dataclass(params):
        return
    what = f"the class {params.__name__}" if isinstance(params, type) else f"a {type(params).__name__}"
    raise PluginError(
        f"{label}: Params is {what}; expected a dataclass. Write @dataclass(frozen=True) above "
        "'class Params:', with a type and a default for each parameter"
    )


def class_names(file: Path) -> list[str]:
    """Names of the classes that `file` defines, read without importing it; none for what is no Python."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    return [node.name for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def _named_in(module: Any, ref: PluginRef) -> Any:
    """The attribute of a file's `module` that `ref` names; else the near one is named."""
    file, _, name = ref.name.rpartition(":")
    if not hasattr(module, name):
        names = class_names(Path(ref.path))
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or names[:1]
        hint = f"; type --{ref.kind} {file}:{near[0]}" if near else ""
        others = f"only {', '.join(names)}" if names else "and no other"
        raise PluginError(f"{file} defines no class '{name}', {others}{hint}")
    return getattr(module, name)
