"""``harness list`` and ``harness doctor``: what is installed, and what of it works."""

from __future__ import annotations

import difflib
from typing import Any

import click

from .. import plugins
from ..errors import HarnessError, PluginError, WeightsMissing, what_happened
from .descriptions import parameters, summary

FACTS = {
    "metrics": (
        *("label", "inputs", "targets", "backbone", "unit", "chance", "higher_is_better", "default"),
        *("gets", "labels", "weights"),
    ),
    "backbones": ("layers", "weights"),
    "encoders": ("stochastic",),
    "decoders": ("stochastic", "repeats", "trains_on", "transductive"),
    "benchmarks": ("simulated", "generated"),
    "scorers": ("inputs",),
}
"""Attributes of a plugin's class that are shown where it has them."""


@click.command("list")
@click.argument("name", required=False)
def list_plugins(name: str | None) -> None:
    """List plugins in a line each: all, or those of a kind (encoders, decoders, benchmarks, metrics,
    backbones).  Or show one with its parameters and presets: NAME, or path/file.py:Class.

    Lists import nothing, so a broken plugin is listed too; 'harness doctor' tells them apart.
    """
    if name is not None and name not in plugins.GROUPS:
        _show_all_called(name)
        return
    for group in [name] if name else plugins.GROUPS:
        refs = plugins.available(group)
        twice = plugins.doubled(refs)
        click.echo(f"{group}:")
        for ref in refs:
            note = f"  (doubled: type {ref.dist}:{ref.name})" if ref.name in twice else ""
            elsewhere = "" if ref.target.startswith("harness.") else f"  ({ref.dist} {ref.dist_version})"
            click.echo(f"  {ref.name:32} {summary(ref)}{elsewhere}{note}".rstrip())
    if name is None:
        click.echo("harness list NAME shows one with its parameters")


def _show_all_called(name: str) -> None:
    """Show every plugin that `name` names, of whatever kind."""
    refs = find_called(name)
    for number, ref in enumerate(refs):
        if number:
            click.echo()
        _show(ref)


def find_called(name: str) -> list[plugins.PluginRef]:
    """Every plugin that `name` names, of whatever kind; at least one."""
    if ".py" in name:
        return [_in_file(name)]
    every = [ref for group in plugins.GROUPS for ref in plugins.available(group)]
    refs = [ref for ref in every if name in (ref.name, f"{ref.dist}:{ref.name}")]
    if not refs:
        near = difflib.get_close_matches(name, [*plugins.GROUPS, *(ref.name for ref in every)], 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise HarnessError(f"no kind and no plugin is called '{name}'{hint} Type: harness list")
    return refs


def _in_file(spec: str) -> plugins.PluginRef:
    """The plugin of a file, of the kind whose contract it meets."""
    problems = []
    for group in plugins.GROUPS:
        ref = plugins.find(group, spec)
        try:
            ref.load()
        except PluginError as problem:
            problems.append(problem)
        else:
            return ref
    raise min(problems, key=lambda problem: len(str(problem)))  # the contract that it lacks least of


def _show(ref: plugins.PluginRef) -> None:
    """Print what `ref` is, its facts, parameters and presets."""
    from ..presets import presets_of

    plugin = ref.load()
    if ref.group == "backbones":
        plugin = plugin()  # rows of one class differ in what it is built with
    version = getattr(plugin, "version", "")
    name = f"{ref.name}@{version}" if version else ref.name
    click.echo(f"{ref.kind} {name} ({ref.dist} {ref.dist_version})".replace(" )", ")"))
    for line in [summary(ref), *_facts(ref, plugin)]:
        click.echo(f"  {line}".rstrip())
    if not hasattr(plugin, "Params"):
        return
    listed = parameters(plugin.Params)
    if listed:
        click.echo(f"parameters (--set {ref.kind}.NAME=VALUE, or under '{ref.kind}:' in --config FILE):")
    for parameter in listed:
        click.echo(f"  {parameter.name}: {parameter.type} = {parameter.default}")
        if parameter.text:
            click.echo(click.wrap_text(parameter.text, 100, "      ", "      "))
    presets = presets_of(ref)
    for name, values in presets.values.items():
        where = ", ".join(benchmark for benchmark, chosen in presets.on.items() if chosen == name)
        click.echo(f"preset (--set {ref.kind}.preset={name}){f', by itself on {where}' if where else ''}:")
        text = ", ".join(f"{key}={value}" for key, value in values.items()) or "the defaults"
        click.echo(click.wrap_text(text, 100, "      ", "      "))


def _facts(ref: plugins.PluginRef, plugin: Any) -> list[str]:
    values = {name: getattr(plugin, name, None) for name in FACTS[ref.group]}
    return [f"{name}: {_text(value)}" for name, value in values.items() if value not in (None, "", ())]


def _text(value: Any) -> str:
    if callable(value) or isinstance(value, property):
        return "depends on parameters"
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


@click.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Import every plugin and say ok, doubled, weights missing or broken; exit 1 if any is broken."""
    broken = 0
    for group in plugins.GROUPS:
        refs = plugins.available(group)
        twice = plugins.doubled(refs)
        for ref in refs:
            state, why = diagnose(ref)
            if ref.name in twice and state == "ok":
                state, why = "doubled", "type " + " or ".join(f"{r.dist}:{r.name}" for r in twice[ref.name])
            broken += state == "broken"
            click.echo(
                f"{state:16} {ref.kind:10} {ref.name:32} {ref.dist} {ref.dist_version}  {why}".rstrip()
            )
    click.echo(f"{broken} broken" if broken else "all plugins load")
    if broken:
        context.exit(1)


def diagnose(ref: plugins.PluginRef) -> tuple[str, str]:
    """(``ok`` | ``weights missing`` | ``broken``, why) of one plugin."""
    try:
        plugin = ref.load()
        if ref.group == "backbones":
            plugin().identity()
    except WeightsMissing as problem:
        return "weights missing", str(problem)
    except PluginError as problem:
        return "broken", " ".join(str(problem).split())
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # it may exit, and the others are still to be looked at
        return "broken", " ".join(what_happened(problem).split())
    return "ok", ""
