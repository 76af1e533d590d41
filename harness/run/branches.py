"""Branches of a fitted encoder: how well its parts alone, or another wiring of them, predict each voxel.

An encoder names a parameter that predictions alone read (``branches`` in :class:`harness.api.Encoder`).
Every value of it is predicted with the same weights and correlated with the held-out responses, voxel by
voxel.  The predictions are those that runs with these values make, and are shared with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from ..data import VoxelSpace
from ..errors import ConfigError, PluginError
from ..metrics.encoding import voxel_r
from ..plugins import PluginRef
from ..scoring.regions import regions_of
from ..settings import RunSettings
from ..stages.encode import encode
from ..stages.features import FeatureStore
from ..stages.fit import fit_reads, fitted_model
from .predictions import ReadyEncoder


@dataclass(frozen=True)
class Branches:
    """Correlations of the branches of one fitted encoder on the same test images.

    parameter : whose values they are.  r : value -> (V,) voxel r, NaN in masked and constant voxels; the
    whole encoder first.  left_out : value -> why this encoder has it not.
    """

    space: VoxelSpace
    parameter: str
    images: int
    r: Mapping[str, np.ndarray]
    left_out: Mapping[str, str]

    def table(self) -> list[dict[str, Any]]:
        """A line for each region of the space: kind, region, voxels, and the mean r of each branch."""
        valid = {name: values[self.space.valid] for name, values in self.r.items()}
        return [
            {
                "kind": kind,
                "region": region,
                "voxels": int(inside.sum()),
                **{name: _mean(values[inside]) for name, values in valid.items()},
            }
            for (kind, region), inside in regions_of(self.space).items()
        ]


def branch_values(ref: PluginRef) -> tuple[str, tuple[str, ...]]:
    """The parameter whose values are the branches of an encoder, and these, its default first.

    Raises
    ------
    ConfigError
        The encoder has none.
    PluginError
        What it names is no parameter of named values, or a fit reads it.
    """
    plugin = ref.load()
    name = getattr(plugin, "branches", "")
    if not name:
        raise ConfigError(
            f"encoder '{ref.name}' has no parts that it could be asked for alone; give a run of one that "
            "names a parameter for them (its attribute branches)"
        )
    field = next((field for field in fields(plugin.Params) if field.name == name), None)
    kind = None if field is None else get_type_hints(plugin.Params)[name]
    if field is None or get_origin(kind) is not Literal or fit_reads(field):
        raise PluginError(
            f"encoder '{ref.name}' has branches = {name!r}; expected a parameter of Literal values that no "
            'fit reads, field(default=..., metadata={"fit": False})'
        )
    others = tuple(value for value in get_args(kind) if value != field.default)
    return name, (field.default, *others)


def branch_correlations(
    ready: ReadyEncoder,
    *,
    settings: RunSettings,
    features: FeatureStore,
    place: dict[str, Any],
    progress: Callable[[int], None] = lambda images: None,
) -> Branches:
    """Every branch of `ready` on its test images.

    place : the store and the executor.  progress : counts images.

    Raises
    ------
    ConfigError, PluginError
        As :func:`branch_values`.
    """
    model, space = ready.model, ready.space
    parameter, values = branch_values(model.ref)
    stimuli, responses = ready.test.stimuli, ready.test.responses
    measured = responses.mean()[:, space.valid]
    correlations, left_out = {}, {}
    for value in values:
        try:
            params = replace(model.params, **{parameter: value})
            predicted = encode(
                fitted_model(model.ref, params, model.fit_key, model.folder, device=model.device),
                stimuli,
                space=space,
                features=features,
                **place,
                seed=settings.seed,
                samples=settings.samples if model.ref.load()(params).stochastic else 1,
                micro_batch=settings.micro_batch,
                names=ready.names,
                progress=progress,
            )
        except ConfigError as problem:  # an encoder of other parameters may lack a part
            left_out[value] = str(problem)
            continue
        r = np.full(space.n_voxels, np.nan)
        r[space.valid] = voxel_r(predicted.mean(axis=1, dtype=np.float64)[:, space.valid], measured)
        correlations[value] = r
    return Branches(space, parameter, len(stimuli), correlations, left_out)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
