"""``harness list`` and ``harness doctor``: what is installed, and what of it works."""

from __future__ import annotations

import click

from .. import plugins
from ..errors import HarnessError, PluginError, WeightsMissing, suggest, what_happened


@click.command("list")
@click.argument("kind", required=False)
def list_plugins(kind: str | None) -> None:
    """List plugins of KIND (encoders, decoders, benchmarks, metrics, backbones), or all.

    Nothing is imported, so a broken plugin is listed too; 'harness doctor' tells them apart.
    """
    if kind is not None and kind not in plugins.GROUPS:
        raise HarnessError(suggest(kind, plugins.GROUPS, what="kind"))
    for group in [kind] if kind else plugins.GROUPS:
        refs = plugins.available(group)
        twice = plugins.doubled(refs)
        click.echo(f"{group}:")
        for ref in refs:
            note = f"  (doubled: type {ref.dist}:{ref.name})" if ref.name in twice else ""
            click.echo(f"  {ref.name:32} {ref.dist} {ref.dist_version}{note}")


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
