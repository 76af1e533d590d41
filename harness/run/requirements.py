"""What a run will read and what is not there, found out with the plan and not an hour into the work.

Plugins say it themselves (``missing`` in :mod:`harness.api`); the backbones that an encoder or a decoder
wants are looked for here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from ..errors import ConfigError, WeightsMissing, suggest
from ..plugins import PluginRef, available, find
from ..stages.features import backbone_identity
from ..stages.fit import texts_wanted, wanted
from ..stages.guard import guarded


def missing_files(plugins: Iterable[tuple[PluginRef, Any]], *, subjects: Sequence[str]) -> tuple[str, ...]:
    """One line for each file that `plugins`, with their parameters, would read and that is not there.

    subjects : the scored one, and behind it others on which the encoder is fitted.

    Raises
    ------
    ConfigError, PluginError
        An encoder or decoder wants a backbone or a layer that does not exist.
    """
    lines: list[str] = []
    for ref, params in plugins:
        missing = getattr(ref.load(), "missing", None)
        if missing is not None:
            for subject in subjects if ref.group == "benchmarks" else subjects[:1]:
                ask = partial(missing, params, subject=subject)
                lines += map(str, guarded(ref, "cannot say what is missing", ask))
        if not lines and (hasattr(ref.load(), "wants") or hasattr(ref.load(), "wants_text")):
            lines += _missing_backbones(ref, params)
    return tuple(dict.fromkeys(lines))


def _missing_backbones(ref: PluginRef, params: Any) -> list[str]:
    """Weights of the backbones that an encoder or decoder looks through."""
    lines = []
    plugin = guarded(ref, "cannot be built", lambda: ref.load()(params))
    for name in guarded(ref, "cannot say what it reads", lambda: texts_wanted(plugin)):
        if not hasattr(find("backbones", name).load(), "extract_text"):
            readers = [r.name for r in available("backbones") if hasattr(r.load(), "extract_text")]
            raise ConfigError(
                f"{ref.kind} '{ref.name}': backbone '{name}' reads no texts; those that do: "
                f"{', '.join(readers)}"
            )
        lines += _absent(name)
    for name, layer in guarded(ref, "cannot be built", lambda: wanted(plugin)):
        layers = find("backbones", name).load()().layers
        if layer not in layers:
            raise ConfigError(
                f"{ref.kind} '{ref.name}': " + suggest(layer, layers, what=f"layer of '{name}'")
            )
        lines += _absent(name)
    return lines


def _absent(backbone: str) -> list[str]:
    """The line of a backbone whose weights are not here."""
    try:
        backbone_identity(backbone)
    except WeightsMissing as problem:
        return [str(problem)]
    return []
