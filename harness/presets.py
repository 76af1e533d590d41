"""Presets: named sets of a plugin's parameters, in a YAML file beside the plugin's own module.

The file of a package is ``presets.yaml`` in it, that of a module or of a plugin file ``NAME.presets.yaml``
beside ``NAME.py``; where one module has several plugins, a class names its own by an attribute,
``presets = "other.yaml"``.  A name never leads to a file, so that two plugins which are called alike share
nothing::

    default: {epochs: 20}           # instead of what the dataclass says
    presets:
      paper: {width: 512}           # --set encoder.preset=paper
      tiny: {width: 64}
    on:
      embedded: tiny                # by itself on this benchmark, unless another preset is asked for
      my-lab:scenes: tiny           # of another distribution than the plugin's or the harness's
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError, quoted, suggest
from .plugins import HARNESS, PluginRef
from .settings import mapping, read_yaml

SECTIONS = ("default", "presets", "on")


@dataclass(frozen=True)
class Presets:
    """Named sets of parameters of a plugin, and the benchmarks `on` which one holds by itself."""

    default: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    on: Mapping[str, str] = field(default_factory=dict)


def presets_of(ref: PluginRef) -> Presets:
    """What the file beside the plugin holds; empty where there is none.

    Raises
    ------
    ConfigError
        The file is no YAML of this form, names a parameter that the plugin does not have, or is named by
        the plugin and not there.
    """
    plugin = ref.load()
    file = _file(ref, plugin)
    if file is None:
        return Presets()
    content = mapping(read_yaml(file), keys=SECTIONS, where=str(file))
    sets = mapping(content.get("presets") or {}, where=f"{file}: presets")
    default = _of(plugin, ref, content.get("default") or {}, where=f"{file}: default")
    values = {name: _of(plugin, ref, given, where=f"{file}: presets.{name}") for name, given in sets.items()}
    on = mapping(content.get("on") or {}, where=f"{file}: on")
    for benchmark, name in on.items():
        if not isinstance(name, str) or name not in values:
            raise ConfigError(f"{file}: on.{benchmark}: " + suggest(_text(name), values, what="preset"))
    return Presets(default, values, on)


def plugin_defaults(ref: PluginRef, *, benchmark: PluginRef, preset: str | None) -> dict[str, Any]:
    """Parameters that the presets of `ref` give: those of `preset`, or of what `benchmark` calls for."""
    presets = presets_of(ref)
    chosen = preset if preset is not None else _called_for(presets.on, ref, benchmark)
    if chosen is not None and (not isinstance(chosen, str) or chosen not in presets.values):
        raise ConfigError(suggest(_text(chosen), presets.values, what=f"preset of {ref.kind} '{ref.name}'"))
    return {**presets.default, **(presets.values[chosen] if chosen is not None else {})}


def _called_for(on: Mapping[str, str], ref: PluginRef, benchmark: PluginRef) -> str | None:
    """A bare name is that of a benchmark of the plugin's own distribution or of the harness."""
    chosen = on.get(f"{benchmark.dist}:{benchmark.unversioned}")
    if chosen is None and benchmark.dist in (ref.dist, HARNESS):
        chosen = on.get(benchmark.unversioned)
    return chosen


def _file(ref: PluginRef, plugin: Any) -> Path | None:
    source = ref.source_file()
    if source is None:
        return None
    given = getattr(plugin.func if isinstance(plugin, functools.partial) else plugin, "presets", None)
    if given is not None:
        file = source.parent / given
        if not file.is_file():
            raise ConfigError(f"{ref.kind} '{ref.name}' names its presets '{given}'; there is no file {file}")
        return file
    package = source.name == "__init__.py"
    file = source.with_name("presets.yaml" if package else f"{source.stem}.presets.yaml")
    return file if file.is_file() else None


def _of(plugin: Any, ref: PluginRef, given: Any, *, where: str) -> dict[str, Any]:
    """Parameters of the plugin; one that it does not have is refused."""
    names = {item.name for item in dataclasses.fields(_params(plugin)) if item.init}
    values = mapping({} if given is None else given, where=where)
    for key in values:
        if key not in names:
            raise ConfigError(f"{where}: " + suggest(key, names, what=f"{ref.kind} parameter"))
    return values


def _params(plugin: Any) -> type:
    return (plugin.func if isinstance(plugin, functools.partial) else plugin).Params


def _text(value: Any) -> str:
    return quoted(value).strip("'")
