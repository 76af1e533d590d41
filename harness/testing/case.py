"""What the checks of all kinds of plugins share: one plugin under test, and how its numbers are compared."""

from __future__ import annotations

import dataclasses
import inspect
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import plugins
from ..errors import ConfigError, HarnessError, PluginError, what_happened
from ..settings import resolve_params
from ..storage.content import digest
from .report import NotChecked, Problem
from .watching import Watch

Value = TypeVar("Value")

SAME = 1e-6
"""Largest difference, as a share of the spread, of what is computed twice in one way."""
CLOSE = 1e-3
"""The same of what is computed in another order or in other batches, where sums round differently."""


class Case:
    """A plugin under test.  What it computes is computed once and shared by all checks.

    plugin : the class.  params : an instance of its ``Params``; by default built from its defaults.
    """

    group: str

    def __init__(self, plugin: Any, params: Any = None) -> None:
        self.plugin = plugin
        self.given = params
        self.watch = Watch()
        self._values: dict[str, Any] = {}
        self._failed: set[str] = set()
        self._folders = tempfile.TemporaryDirectory(prefix="harness-check-")

    @property
    def params(self) -> Any:
        """The parameters that it is checked with."""
        if self.given is None:
            section = self.group.removesuffix("s")
            try:
                self.given = resolve_params(self.plugin.Params, {}, section=section)
            except ConfigError as problem:
                raise NotChecked(f"it has no usable defaults ({problem}); give its parameters") from problem
        return self.given

    def folder(self, name: str) -> Path:
        """An empty folder of its own, called `name`."""
        place = Path(self._folders.name) / name
        place.mkdir(parents=True)
        return place

    def once(self, name: str, compute: Callable[[], Value]) -> Value:
        """What `compute` gives, computed once; when it failed, what else needs it is not checked."""
        if name in self._failed:
            raise NotChecked(f"it needs '{name}', which failed or could not be tried")
        if name not in self._values:
            try:
                self._values[name] = compute()
            except BaseException:
                self._failed.add(name)
                raise
        return self._values[name]

    def call(self, what: str, function: Callable[..., Value], *given: Any, **named: Any) -> Value:
        """Call plugin code, watched."""
        with self.watch.during(what):
            return function(*given, **named)

    def build(self) -> Any:
        """A new object of the plugin."""
        return self.call("__init__", self.plugin, self.params)


def class_of(plugin: Any) -> Any:
    """The class behind `plugin`, which may have a row's arguments bound."""
    return plugin.func if isinstance(plugin, partial) else plugin


def contract(case: Case) -> Iterator[Problem]:
    """Everything that the engine asks for before it calls anything."""
    if not inspect.isclass(class_of(case.plugin)):
        yield Problem(
            "a class",
            f"an object of type {type(case.plugin).__name__}",
            "Give the class itself, not what it builds.",
        )
        return
    try:
        plugins.check_contract(case.group, class_of(case.plugin))
    except PluginError as problem:
        kind = case.group.removesuffix("s").capitalize()
        yield Problem(f"the contract harness.api.{kind}", str(problem), "Add or mend that.")
        return
    version = class_of(case.plugin).version
    if not isinstance(version, str) or not version:
        yield Problem(
            "version to be text such as '1'",
            repr(version),
            "Raise it whenever the same input gives other numbers.",
        )


def calls(case: Case, shapes: dict[str, tuple[Sequence[str], Sequence[str]]]) -> Iterator[Problem]:
    """Methods that take what the engine hands over: name -> (positional, keyword) arguments."""
    for name, (positional, keywords) in shapes.items():
        method = inspect.getattr_static(class_of(case.plugin), name, None)
        if method is None:
            continue
        bound = isinstance(method, (staticmethod, classmethod))
        function = method.__func__ if bound else method
        first = [] if isinstance(method, staticmethod) else [None]
        try:
            inspect.signature(function).bind(*first, *positional, **dict.fromkeys(keywords))
        except TypeError as problem:
            wanted = ", ".join([*positional, *(["*", *keywords] if keywords else [])])
            yield Problem(
                f"{name}({wanted})",
                f"{name}{inspect.signature(function)}: {problem}",
                "Name the arguments as harness.api does.",
            )
        except ValueError:
            continue  # a method without a signature that can be read


def parameters(case: Case) -> Iterator[Problem]:
    """``Params``: a frozen dataclass whose fields are typed, checked and part of an identity."""
    params = case.plugin.Params
    section = case.group.removesuffix("s")
    if not params.__dataclass_params__.frozen:
        yield Problem(
            "Params to be frozen",
            "fields that can be assigned",
            "Write @dataclass(frozen=True) above 'class Params:'.",
        )
    for field in dataclasses.fields(params):
        if not field.init:
            continue
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and case.given is None:
            yield Problem(
                f"a default for {section}.{field.name}",
                "none",
                "Give one, so that the plugin runs before anybody has read about its parameters.",
            )
            return
    values = {f.name: getattr(case.params, f.name) for f in dataclasses.fields(params) if f.init}
    if digest(case.params) != digest(resolve_params(params, values, section=section)):
        yield Problem(
            "Params to keep what is given",
            "other values after a second reading",
            "Change nothing in __post_init__; compute what follows from fields where it is used.",
        )
    for name in values:
        try:
            resolve_params(params, {**values, name: object()}, section=section)
        except HarnessError:
            continue
        except Exception as problem:
            yield Problem(
                f"a wrong type in {section}.{name} to be refused as a ConfigError",
                what_happened(problem),
                "Raise harness.api.ConfigError in __post_init__.",
            )
        else:
            yield Problem(
                f"a wrong type in {section}.{name} to be refused",
                "that any object is taken",
                f"Give '{name}' the type that it has, such as int, float, str, bool or tuple[float, ...].",
            )


def printing(case: Case) -> Iterator[Problem]:
    """Nothing on standard output, which belongs to tables."""
    for what, text in case.watch.printed.items():
        yield Problem(
            "nothing to be printed",
            f"'{text}' from {what}",
            "Use logging.getLogger(__name__), or progress().",
        )


def random_state(case: Case) -> Iterator[Problem]:
    """Global generators as they were: another plugin's draws must not depend on this one."""
    for what, names in case.watch.random.items():
        yield Problem(
            "global random state to stay as it is",
            f"that {what} changed {names}",
            "Draw from np.random.default_rng(seed) or a torch.Generator of your own.",
        )


def network(case: Case) -> Iterator[Problem]:
    """No connection: a run on a cluster's node has none."""
    for what, address in case.watch.network.items():
        yield Problem(
            "no use of the network",
            f"that {what} asked for {address}",
            "Read files that a parameter names, and say in missing() how to get them.",
        )


CONDUCT = {"printing": printing, "random state": random_state, "network": network}
"""Last, since they look back at all that was called."""


def difference(first: Any, second: Any) -> float:
    """Largest difference, as a share of the spread of `first`; inf where shapes or finite places differ."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or not (np.isfinite(first) == np.isfinite(second)).all():
        return float("inf")
    both = np.isfinite(first)
    if not both.any():
        return 0.0
    spread = first[both].std() or np.abs(first[both]).max() or 1.0
    return float(np.abs(first[both] - second[both]).max() / spread)


def differs(first: Any, second: Any, limit: float) -> str:
    """By how much two results differ, in words; ``""`` within `limit`."""
    by = difference(first, second)
    if by <= limit:
        return ""
    if np.isfinite(by):
        return f"results that differ by {by:.2g} of their spread"
    return "results of other shapes, or that are finite in other places"
