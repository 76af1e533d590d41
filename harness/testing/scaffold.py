"""A package of one's own to start from: ``harness new`` fills templates whose plugin passes its checks."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template

from .. import __version__
from ..errors import ConfigError, suggest

KINDS = ("encoder", "decoder", "metric", "benchmark")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ATTRIBUTES = {"encoder": "{}Encoder", "decoder": "{}Decoder", "metric": "ROW", "benchmark": "{}Benchmark"}


def write_package(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a package with the plugin `name` into the new folder ``FOLDER/NAME``; the files, in order.

    Raises
    ------
    ConfigError
        An unknown kind, a name that no package can have, or a folder that is there already.
    """
    if kind not in KINDS:
        raise ConfigError(suggest(kind, KINDS, what="kind of plugin"))
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"the name '{name}' cannot be used; give small letters, digits and hyphens, as in 'my-{kind}'"
        )
    place = folder / name
    if place.exists():
        raise ConfigError(f"{place} is there already; give another name, or --folder DIR")
    module = name.replace("-", "_")
    values = {
        "kind": kind,
        "name": name,
        "module": module,
        "attribute": ATTRIBUTES[kind].format("".join(part.capitalize() for part in name.split("-"))),
        "version": __version__,
    }
    contents = {
        "pyproject.toml": "pyproject",
        f"{module}.py": kind,
        f"tests/test_{module}.py": "test",
        "README.md": "readme",
    }
    for file, template in contents.items():
        text = (resources.files(__package__) / "templates" / f"{template}.txt").read_text()
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(Template(text).substitute(values))
    return [place / file for file in contents]
