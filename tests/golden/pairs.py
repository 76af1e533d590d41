"""Recorded pairs: inputs, outputs and the rule that gives the weights.

A pair is ``NAME.json`` and ``NAME.npz``.  Weights are not stored: every tensor that the record calls
"filled" follows from its name.  A pair knows which of its values have been used, so that a check
which forgets one fails.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

NETWORK_TOLERANCE = 1e-4
"""Largest error of a network's output, in standard deviations of that output."""

METRIC_TOLERANCE = 2e-6
"""Largest absolute error of an image metric in float32."""


class CheckFailed(AssertionError):
    """A recorded pair that is not reproduced, in one line."""


@dataclass(frozen=True)
class Comparison:
    """The largest error of one output."""

    name: str
    error: float
    allowed: float
    unit: str

    @property
    def passed(self) -> bool:
        return self.error <= self.allowed  # False for NaN

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        return (
            f"{self.name}: largest error {self.error:.2e} {self.unit}, allowed {self.allowed:.0e}: {verdict}"
        )


class Pair:
    """One record: take arrays, options and weights, compare every output, then :meth:`finish`."""

    def __init__(self, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, name: str = "pair"):
        self.name, self.kind, self.record = name, record.get("kind"), record
        self.comparisons: list[Comparison] = []
        self._expected = _flatten(record.get("expected", {}))
        self._arrays = dict(arrays)
        self._options = dict(record.get("config", {}))
        states = (key for key in record if key.endswith("state_dict"))
        self._unused = {*self._expected, *arrays, *(f"config.{o}" for o in self._options), *states}

    @classmethod
    def open(cls, folder: Path, name: str) -> Pair:
        """Read ``NAME.json`` and ``NAME.npz`` of `folder`."""
        try:
            record = json.loads((folder / f"{name}.json").read_text())
            with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (OSError, ValueError, EOFError) as problem:
            raise CheckFailed(f"{name} cannot be read: {problem}") from None
        if not isinstance(record, dict):
            raise CheckFailed(f"{name}.json is a {type(record).__name__}; expected an object with a kind")
        return cls(record, arrays, name=name)

    def array(self, name: str) -> np.ndarray:
        """An input."""
        self._use(name)
        if name not in self._arrays:
            raise CheckFailed(f"{self.name} has no array '{name}'")
        return self._arrays[name]

    def has(self, name: str) -> bool:
        """Whether an array of that name is recorded."""
        return name in self._arrays

    def images(self, name: str) -> np.ndarray:
        """An input (n, C, H, W) as (n, H, W, C)."""
        return np.moveaxis(self.array(name), 1, -1)

    def option(self, name: str, *default: Any) -> Any:
        """A size or setting from ``config``; without `default` it must be there."""
        self._use(f"config.{name}")
        if name not in self._options and not default:
            raise CheckFailed(f"{self.name}: config has no '{name}'")
        return self._options.get(name, *default)

    def options(self, **names: str) -> dict[str, Any]:
        """Settings by this project's names, each given with the name that ``config`` has for it."""
        return {own: self.option(theirs) for own, theirs in names.items()}

    def tensors(self, *names: str) -> tuple[torch.Tensor, ...]:
        """Inputs, in the order of `names`."""
        return tuple(tensor(self.array(name)) for name in names)

    def require(self, name: str, value: Any) -> None:
        """A setting that this project supports with one value only."""
        if (given := self.option(name, value)) != value:
            raise CheckFailed(f"{self.name}: config.{name} is {given!r}; only {value!r} is implemented")

    def fill(self, which: str = "state_dict") -> dict[str, np.ndarray | None]:
        """Name -> array for a filled tensor, None for one that the module constructs."""
        self._use(which)
        scale = float(self.record.get("fill_scale", 0.05))
        return {
            name: filled(name, tuple(shape), dtype, scale=scale) if how == "filled" else None
            for name, (shape, dtype, how) in self.record[which].items()
        }

    def shapes(self, which: str = "state_dict") -> dict[str, tuple[int, ...]]:
        """Name -> shape of every recorded tensor."""
        self._use(which)
        return {name: tuple(entry[0]) for name, entry in self.record[which].items()}

    def compare(self, name: str, value: Any, *, tolerance: float | None = None) -> None:
        """Note the largest error of an output.

        Without `tolerance`, an array may differ by 1e-4 of its standard deviation; integers are
        exact.
        """
        expected = np.asarray(self._arrays[name] if name in self._arrays else self._expected[name])
        self._use(name)
        value = np.asarray(value)
        if value.shape != expected.shape:
            raise CheckFailed(f"{self.name}: {name} has shape {value.shape}, recorded {expected.shape}")
        error = np.abs(value.astype(np.float64) - expected.astype(np.float64))
        error = float(error.max()) if error.size else 0.0
        if tolerance is not None:
            comparison = Comparison(name, error, tolerance, "absolute")
        elif expected.dtype.kind in "iub" or not (spread := float(expected.std(dtype=np.float64))):
            comparison = Comparison(name, error, 0.0, "absolute")
        else:
            comparison = Comparison(name, error / spread, NETWORK_TOLERANCE, "SD")
        self.comparisons.append(comparison)
        if not comparison.passed:
            raise CheckFailed(f"{self.name}: {comparison}")

    def compare_scalar(self, name: str, value: torch.Tensor) -> None:
        """Note the error of a scalar, which may differ by a 100,000th of its size."""
        self.compare(name, value, tolerance=1e-5 * max(abs(float(value)), 1e-3))

    def load(self, module: nn.Module, which: str = "state_dict") -> None:
        """Fill the weights; names, shapes and types must agree exactly, constructed ones keep theirs."""
        same_names(f"{self.name} {which}", self.shapes(which), shapes_of(module))
        own = module.state_dict()
        for name, values in self.fill(which).items():
            dtype = str(own[name].dtype).removeprefix("torch.")
            if (recorded := self.record[which][name][1]) != dtype:
                raise CheckFailed(f"{self.name}: '{name}' is {dtype}, recorded {recorded}")
            if values is not None:
                own[name] = tensor(values)
        module.load_state_dict(own, strict=True)
        module.eval()

    def finish(self) -> None:
        """Fail on what was recorded and neither used nor compared."""
        if self._unused:
            raise CheckFailed(f"{self.name}: recorded but not compared: {sorted(self._unused)}")

    def _use(self, name: str) -> None:
        self._unused.discard(name)


def filled(name: str, shape: tuple[int, ...], dtype: str, *, scale: float = 0.05) -> np.ndarray:
    """The weight called `name`: normal draws seeded by the name's CRC-32, norm gains around one."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape) * scale
    if len(shape) == 1 and name.endswith("weight"):
        values = values + 1.0
    return values.astype(dtype)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def same_names(
    name: str, recorded: Mapping[str, tuple[int, ...]], own: Mapping[str, tuple[int, ...]]
) -> None:
    """Fail unless names and shapes agree exactly, in both directions."""
    missing, left = sorted(recorded.keys() - own.keys()), sorted(own.keys() - recorded.keys())
    if missing or left:
        raise CheckFailed(
            f"{name}: {len(missing)} recorded keys are missing here (first {missing[:1]}), "
            f"{len(left)} keys here are not recorded (first {left[:1]})"
        )
    for key, shape in recorded.items():
        if tuple(own[key]) != tuple(shape):
            raise CheckFailed(f"{name}: '{key}' has shape {tuple(own[key])}, recorded {tuple(shape)}")


def full_size(
    build: Callable[[], nn.Module], convert: Callable[[dict[str, torch.Tensor]], Mapping] = dict
) -> Callable[[str, Mapping[str, tuple[int, ...]]], None]:
    """A check of a key list: its tensors, converted as a real file's are, are those that `build` makes."""

    def check(name: str, recorded: Mapping[str, tuple[int, ...]]) -> None:
        weights = {key: torch.empty(shape, device="meta") for key, shape in recorded.items()}
        with torch.device("meta"):
            module = build()
        state = {key: tuple(value.shape) for key, value in convert(weights).items()}
        same_names(name, state, shapes_of(module))

    return check


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {k: v for name, branch in tree.items() for k, v in _flatten(branch, f"{prefix}{name}.").items()}
