"""A plugin with its parameters, and a fitted one, as they are sent to any process."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import VoxelSpace
from ..notices import Flag
from ..plugins import PluginRef
from .guard import guarded, is_pretrained


@dataclass(frozen=True)
class Configured:
    """A plugin with its parameters.  Picklable."""

    ref: PluginRef
    params: Any

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker cannot unpickle an instance of a class in a path plugin's file before loading it.
        more = [getattr(self, field.name) for field in dataclasses.fields(self)[2:]]
        return _restored, (type(self), self.ref, dataclasses.asdict(self.params), *more)

    def build(self) -> Any:
        """The plugin object, fitted to nothing."""
        return guarded(self.ref, "cannot be built", lambda: self.ref.load()(self.params))


@dataclass(frozen=True)
class Model(Configured):
    """A plugin with its parameters and, once fitted, where its weights lie.

    key : identity of the fitted model, or ``""`` when it has none.
    folder : what ``save`` wrote; ``""`` for a model that loads its own pretrained weights.
    warned : what was warned of while it was fitted, now or long ago.
    fit_key : of the artifact that holds it, which models that only predict otherwise share.
    """

    key: str
    folder: str
    device: str
    warned: tuple[Flag, ...] = ()
    fit_key: str = ""

    def load(self, space: VoxelSpace) -> Any:
        """The fitted plugin object; decoders are opened for `space`."""
        plugin = self.ref.load()
        if self.folder:
            again = f"cannot be loaded from {self.folder} (remove that folder and it is fitted again)"
            read = functools.partial(plugin.load, Path(self.folder), self.params, device=self.device)
            model = guarded(self.ref, again, read)
        elif is_pretrained(plugin, self.params):
            start = functools.partial(plugin.from_pretrained, self.params, space, device=self.device)
            model = guarded(self.ref, "cannot be loaded from its pretrained weights", start)
        else:
            model = plugin(self.params)
        if self.ref.group == "decoders":
            model.open(space, device=self.device)
        return model


def _restored(kind: type[Configured], ref: PluginRef, values: dict[str, Any], *more: Any) -> Configured:
    from pydantic import TypeAdapter

    return kind(ref, TypeAdapter(ref.load().Params).validate_python(values), *more)
