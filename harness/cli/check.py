"""``harness check``: whether plugins keep their contracts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from .. import plugins
from ..errors import ConfigError, PluginError, suggest
from ..plugins import PluginRef
from .listing import find_called

SECTIONS = ("encoder", "decoder", "benchmark")
"""Kinds that have parameters."""


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--kind", metavar="KIND", help="Of which kind NAME is: encoder, decoder, metric, benchmark ...")
@click.option("--all", "every", is_flag=True, help="Check all installed plugins, or all of --kind.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KIND.KEY=VALUE", help="A parameter, or its preset."
)
@click.pass_context
def check(
    context: click.Context, names: Sequence[str], kind: str | None, every: bool, assignments: Sequence[str]
) -> None:
    """Say whether plugins keep their contracts: ok, or a sentence for each finding and exit code 1.

    NAME is an installed plugin or path/file.py:Class.  It is tried on small made-up data, without files or
    network, for seconds; large networks with their presets of the embedded benchmark.  What needs weights or
    files that are not here is skipped, and why.
    """
    from ..testing.kinds import check_plugin

    if bool(names) == every:
        raise ConfigError("name a plugin, as in 'harness check ridge', or give --all (and no name)")
    failed = 0
    for ref in _asked(names, _group(kind)):
        report = check_plugin(ref, _params(ref, assignments))
        failed += not report.ok
        _show(report, brief=every)
    if failed:
        click.echo(f"{failed} of them {'does' if failed == 1 else 'do'} not conform")
        context.exit(1)


def _group(kind: str | None) -> str | None:
    if kind is None:
        return None
    kinds = {group.removesuffix("s"): group for group in plugins.GROUPS} | {g: g for g in plugins.GROUPS}
    if kind not in kinds:
        raise ConfigError(suggest(kind, [group.removesuffix("s") for group in plugins.GROUPS], what="kind"))
    return kinds[kind]


def _asked(names: Sequence[str], group: str | None) -> list[PluginRef]:
    if not names:
        return [ref for g in ([group] if group else plugins.GROUPS) for ref in plugins.available(g)]
    if group:
        return [plugins.find(group, name) for name in names]
    return [ref for name in names for ref in find_called(name)]


def _params(ref: PluginRef, assignments: Sequence[str]) -> Any:
    """Parameters as given, else those that it has on the embedded benchmark; None for a kind without any."""
    from ..presets import plugin_defaults
    from ..settings import read_request, resolve_params

    if ref.kind not in SECTIONS:
        return None
    request = read_request(None, assignments, plugins={})
    given = dict(request.values[ref.kind])
    try:
        params = ref.load().Params
    except PluginError:
        return None  # which the checks will say
    benchmark = plugins.find("benchmarks", "embedded")
    defaults = plugin_defaults(ref, benchmark=benchmark, preset=given.pop("preset", None))
    if not given and not defaults:
        return None
    return resolve_params(params, given, section=ref.kind, sources=request.sources, defaults=defaults)


def _show(report: Any, *, brief: bool) -> None:
    reasons: dict[str, list[str]] = {}
    for name, why in report.skipped:
        reasons.setdefault(why, []).append(name)
    state = "ok" if report.ok else "fails"
    count = f"{len(report.passed)} checks passed" + (
        f", {len(report.skipped)} skipped" if report.skipped else ""
    )
    click.echo(f"{state:6} {report.label}: {count}")
    for finding in report:
        click.echo(f"  {finding}")
    for why, checks in reasons.items():
        missing = brief and not any(word in why for word in ("weights", "files", "defaults"))
        if not missing:
            click.echo(f"  skipped: {', '.join(checks)}: {why}")
