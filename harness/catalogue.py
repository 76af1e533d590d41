"""Catalogues: plugins as rows, so that adding one is adding a line.

A catalogue is a tuple of rows.  A distribution names its catalogues in the entry point group
``harness.catalogues`` (``NAME = module:ROWS``); the module holds strings and numbers only, so that listing
imports nothing of what the rows stand for.  A row is a :class:`Plugin`, or has the same fields and methods.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Call:
    """A function or class by name, and the arguments that are part of a definition.

    target : ``module:attribute``; arguments : (keyword, value) pairs in the order of their names.
    """

    target: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    def load(self) -> Callable[..., Any]:
        """What `target` names, with `arguments` bound; ImportError or AttributeError without it."""
        attribute = getattr(importlib.import_module(self.module), self.target.partition(":")[2])
        return partial(attribute, **dict(self.arguments)) if self.arguments else attribute


def call(target: str, /, **arguments: Any) -> Call:
    """The :class:`Call` of `target` with `arguments`."""
    return Call(target, tuple(sorted(arguments.items())))


@dataclass(frozen=True)
class Plugin:
    """One plugin: the group it belongs to (``backbones``), its name, and what builds it."""

    group: str
    name: str
    build: Call


def plugin(group: str, name: str, target: str, /, **arguments: Any) -> Plugin:
    """A row of a catalogue: `target` (``module:Class``), built with `arguments` besides its parameters."""
    return Plugin(group, name, call(target, **arguments))


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One score, as a row: everything here but `label`, `meaning`, `column` and `default` defines it.

    inputs : the kind of input, which names the scorer (:mod:`harness.scoring`): ``images``, ``embedding``,
        ``training``, ``decoder-embedding``, ``reencoded``, ``captions``, ``responses``, or a third party's.
    score : a function of what is compared, as the scorer says, and of the keywords in `gets`; by name
        (:func:`call`) or, in a file of one's own, the function itself.  NaN means: not scored.
    gets : keywords that `score` takes besides its own arguments, from those that the scorer offers.
    deranged : the mean of `score` over re-pairings (K, N) of the results, where one need not score K times.
    prepare, on : of ``images``; what is done once per image, and a class of the same on a torch device.
    lacking : of ``reencoded``; space -> why its responses cannot be compared, or ``""``.
    backbone : (name, layer) whose features are compared.  weights : names of weights that `score` reads.
    labels : names of the labels of stimuli behind ``kind`` and ``labels`` in `gets`.
    targets : what reconstructions are compared with: ``stimulus``, ``measured`` (the reconstruction from
        measured responses), ``image`` (captions of the true image), ``training``, ``brain``.
    references : of ``captions``; scored against all references of an image, one or more texts each, at once.
    independent : the target ``measured`` is to share no noise of the decoder with the row.
    unit : ``image`` -> (N,) values, ``voxel`` -> (V,), ``set`` -> one value, ``region`` -> one value of each
        ROI and cortical group and none of the whole.
    pool : an image's value depends on the other images (identification).  smallest_pool : test images
        without which nothing can be scored.
    gallery : one is sought among this many candidates or, with fewer images, among all; reports then show
        that number and its chance, 1 / candidates, in place of `chance`.
    by_region : of ``responses``; scored on the voxels of each ROI and cortical group, too.  A ``set`` or
        ``region`` score may be a dict of values by name, of which ``""`` is the score.
    describes_measured : the values by name are kept of the measured responses as well.
    default : False leaves it out unless it is asked for by name; ``"simulated"`` does so on measured data
        only (small networks, trained on drawn scenes), ``"real"`` on simulated data only.
    column : its place among the columns of a table, as published tables have it; then by name.
    meaning : a sentence for a reader who has never seen it.
    """

    name: str
    inputs: str
    score: Call | Callable[..., Any]
    label: str = ""
    meaning: str = ""
    version: str = "1"
    gets: tuple[str, ...] = ()
    deranged: Call | Callable[..., Any] | None = None
    prepare: Call | Callable[..., Any] | None = None
    on: Call | Callable[..., Any] | None = None
    lacking: Call | Callable[..., Any] | None = None
    backbone: tuple[str, str] | None = None
    weights: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("stimulus", "measured")
    references: bool = False
    independent: bool = False
    unit: str = "image"
    pool: bool = False
    smallest_pool: int = 1
    gallery: int | None = None
    by_region: bool = False
    describes_measured: bool = False
    higher_is_better: bool = True
    chance: float | None = None
    default: bool | str = True
    column: int = 100

    group = "metrics"

    @property
    def build(self) -> Call:
        """Where the score is defined; empty for a function that is given itself."""
        return self.score if isinstance(self.score, Call) else Call("")

    def function(self, name: str = "score") -> Callable[..., Any]:
        """The function behind the field `name`, imported."""
        value = getattr(self, name)
        return value.load() if isinstance(value, Call) else value

    def calls(self) -> tuple[Call, ...]:
        """All functions that are given by name."""
        fields = (self.score, self.deranged, self.prepare, self.on, self.lacking)
        return tuple(value for value in fields if isinstance(value, Call))
