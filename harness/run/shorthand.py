"""``NAME:VALUE`` for an encoder: the plugin, and the one parameter that it lets be given so."""

from __future__ import annotations

from dataclasses import replace

from .. import plugins
from ..errors import ConfigError
from ..settings import Request


def with_argument(request: Request) -> Request:
    """`request` with the value behind the colon of its encoder among the encoder's parameters.

    A class says by ``takes`` which parameter that is.  Names of other forms (``distribution:name``,
    ``file:…``, ``path/file.py:Class``) stay.

    Raises
    ------
    ConfigError
        An encoder that takes nothing so.
    """
    name, colon, value = (request.encoder or "").partition(":")
    refs = plugins.available("encoders")
    if not colon or not value or name not in {ref.name for ref in refs}:
        return request
    if any(f"{ref.dist}:{ref.name}" == request.encoder for ref in refs):
        return request
    takes = getattr(plugins.find("encoders", name).load(), "takes", "")
    if not takes:
        raise ConfigError(f"encoder '{name}' takes nothing behind a colon; type --encoder {name}")
    given = {takes: int(value) if value.isdecimal() else value, **request.values.get("encoder", {})}
    source = {f"encoder.{takes}": f"--encoder {request.encoder}"}
    values = {**request.values, "encoder": given}
    return replace(request, encoder=name, values=values, sources={**source, **request.sources})
