"""Writes ``catalogue.md``, of what comes with the harness, and ``reference.md``, of docstrings.

    python docs/make.py

A test compares what this would write with what is there.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import harness.api
import harness.data
import harness.notebook
import harness.testing
import harness.toolkit
from harness import plugins
from harness.cli.descriptions import summary

DOCS = Path(__file__).parent
WRITTEN = "<!-- written by python docs/make.py -->"

INPUTS = {
    "images": "Images, pixel by pixel",
    "embedding": "Features of images",
    "training": "Nearness to the training images",
    "decoder-embedding": "The decoder's own embedding",
    "reencoded": "Responses that an encoder predicts for the reconstruction",
    "captions": "Captions",
    "responses": "Responses",
}
DEFAULT = {True: "yes", False: "by name", "real": "on measured data", "simulated": "on simulated data"}


def catalogue() -> str:
    """The page of all built-in plugins, a line each."""
    parts = [
        "# Catalogue",
        WRITTEN,
        "What `harness list` says of what comes with the harness; `harness list NAME` has the parameters.",
    ]
    for kind in ("encoders", "decoders", "benchmarks"):
        lines = [(f"`{ref.name}`", summary(ref)) for ref in _own(kind)]
        parts += [f"## {kind.capitalize()}", _table(("name", "what it is"), lines)]
    parts.append("## Metrics")
    rows = [ref.row for ref in _own("metrics")]
    heads = ("name", "label", "chance", "better", "on", "a value for each", "meaning")
    for inputs, title in INPUTS.items():
        lines = [_metric(row) for row in rows if row.inputs == inputs]
        parts += [f"### {title}", _table(heads, lines)]
    return "\n\n".join(parts) + "\n"


def _own(kind: str) -> list[Any]:
    return [ref for ref in plugins.available(kind) if ref.module.startswith("harness.")]


def _metric(row: Any) -> tuple[str, ...]:
    chance = "1 / candidates" if row.gallery else "" if row.chance is None else f"{row.chance:g}"
    better = "higher" if row.higher_is_better else "lower"
    return f"`{row.name}`", row.label, chance, better, DEFAULT[row.default], row.unit, row.meaning


def _table(heads: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    cells = [heads, ("---",) * len(heads), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in cells)


def reference() -> str:
    """The page of the public names with their docstrings."""
    parts = [
        "# API reference",
        WRITTEN,
        "Public names with their docstrings. N images, T trials, V voxels, S samples, H x W pixels.",
    ]
    parts += ["## harness", _text(harness.__doc__)]
    for function in (harness.notebook.run, harness.score, harness.open, harness.compare, harness.leaderboard):
        parts += _entry("harness", function.__name__, function)
    parts += _entry("harness", "Run", harness.Run)
    for module in (harness.api, harness.toolkit, harness.testing):
        parts += [f"## {module.__name__}", _text(module.__doc__)]
        for name in sorted(module.__all__, key=str.lower):
            value = getattr(module, name)
            home = value.__module__ if inspect.isclass(value) and "harness.data" in value.__module__ else ""
            parts += _entry(home or module.__name__, name, value)
    return "\n\n".join(parts) + "\n"


def _entry(module: str, name: str, value: Any) -> Iterator[str]:
    """A class with its public methods, a function, a module, or a constant."""
    yield f"### {module}.{name}"
    if inspect.ismodule(value):  # whose repr would say where it lies on this machine
        yield _text(value.__doc__)
        return
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        yield f"`{_short(repr(value))}`"
        return
    if inspect.isclass(value):
        yield _text(value.__doc__)
        for method, function in _methods(value):
            yield f"**`{method}{_signature(function)}`**"
            if function.__doc__:
                yield _text(function.__doc__)
        return
    yield f"`{name}{_signature(value)}`"
    yield _text(value.__doc__)


def _methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        function = function.fget if isinstance(function, property) else getattr(function, "func", function)
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


def _signature(function: Callable[..., Any]) -> str:
    """As it stands in the source, which other versions of Python and of libraries do not change."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return "(…)"
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef)
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){gives}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"


def _text(docstring: str | None) -> str:
    """A docstring as a block of text; roles keep their names alone."""
    text = re.sub(
        r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]*)`", r"\1", inspect.cleandoc(docstring or "")
    )
    return f"~~~text\n{text.strip()}\n~~~"


PAGES = {"catalogue.md": catalogue, "reference.md": reference}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
