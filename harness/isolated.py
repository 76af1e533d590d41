"""The other side of a decoder in another Python environment: it answers requests, a line each.

Started by :mod:`harness.isolation` in that environment, which needs numpy and what the decoder needs; of the
harness it imports the contracts alone.  What a plugin prints goes to the error stream and is no answer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import inspect
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .exchange import read_array, read_responses, read_space, read_subject, write_array, write_decoded
from .plugin_files import module_from_file

KINDS = {"str": str, "int": int, "float": float, "bool": bool}
"""Types of parameters that may be sent, by name."""

ABILITIES = ("generate", "rebuild", "embed", "calibrate")
CONSTANTS = ("version", "stochastic", "repeats", "trains_on", "transductive")


def describe(plugin: Any) -> dict[str, Any]:
    """Constants, parameters and abilities of a decoder class, and what the environment is."""
    fields = []
    for field in dataclasses.fields(plugin.Params):
        kind = getattr(field.type, "__name__", str(field.type))
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if kind not in KINDS or type(default).__name__ not in KINDS:
            raise TypeError(
                f"parameter '{field.name}' is {kind} with the default {default!r}; a decoder in an "
                "environment of its own has parameters of the types str, int, float and bool, with defaults"
            )
        fields.append([field.name, kind, default])
    placed = [
        p.name
        for p in inspect.signature(plugin.fit).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(placed) > 2:
        raise TypeError(
            f"fit takes {', '.join(placed[1:])}; a decoder in an environment of its own is fitted on the "
            "subject alone, def fit(self, subject, *, seed, device, checkpoint_dir)"
        )
    return {
        **{name: getattr(plugin, name) for name in CONSTANTS},
        "fields": fields,
        "abilities": [name for name in ABILITIES if hasattr(plugin, name)],
        "environment": environment(),
    }


def environment() -> str:
    """Hash of the Python and of the distributions that are here, by name and version."""
    present = {(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()}
    words = [platform.python_version(), np.__version__, *(f"{name} {version}" for name, version in present)]
    return hashlib.sha256("\n".join(sorted(map(str, words))).encode()).hexdigest()


class Side:
    """One decoder, built, fitted or loaded, and asked to decode."""

    def __init__(self, plugin: Any) -> None:
        self.plugin, self.decoder = plugin, None

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what is asked and give what is to be said about it."""
        folder = Path(request["folder"]) if request.get("folder") else None
        calls: dict[str, Callable[[], Any]] = {
            "describe": lambda: describe(self.plugin),
            "build": lambda: self._take(self.plugin(self._params(request))),
            "load": lambda: self._take(
                self.plugin.load(folder, self._params(request), device=request["device"])
            ),
            "fit": lambda: self.decoder.fit(
                read_subject(folder),
                seed=request["seed"],
                device=request["device"],
                checkpoint_dir=Path(request["checkpoints"]),
            ),
            "open": lambda: self.decoder.open(read_space(folder), device=request["device"]),
            "calibrate": lambda: self.decoder.calibrate(read_responses(folder)),
            "save": lambda: self.decoder.save(folder),
            "decode": lambda: write_decoded(
                folder, self.decoder.decode(read_responses(folder), seeds=read_array(folder, "seeds"))
            ),
            **{
                method: lambda method=method: write_decoded(
                    folder,
                    getattr(self.decoder, method)(
                        read_array(folder, "given"), seeds=read_array(folder, "seeds")
                    ),
                )
                for method in ("generate", "rebuild")
            },
            "embed": lambda: write_array(folder, "embedded", self.decoder.embed(read_array(folder, "given"))),
        }
        return calls[request["call"]]()

    def _params(self, request: dict[str, Any]) -> Any:
        return self.plugin.Params(**request["params"])

    def _take(self, decoder: Any) -> None:
        self.decoder = decoder


def main(file: str, name: str) -> None:
    """Answer what comes on the standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    side = None
    for line in sys.stdin:
        try:
            side = side or Side(getattr(module_from_file(Path(file)), name))
            reply = {"answer": side.answer(json.loads(line))}
        except Exception as problem:
            traceback.print_exc()
            reply = {"problem": type(problem).__name__, "message": str(problem)}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
