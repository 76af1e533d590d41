"""Features as the stages see them: standardised with training statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.api import ConfigError, Features, Stimuli

from ..common.training_data import moments
from .params import ChasmParams


@dataclass(frozen=True, eq=False)
class VisualFeatures:
    """Raw features of N images: cls (N, D) and patches (N, P, D'), float32, perhaps memory maps."""

    cls: np.ndarray
    patches: np.ndarray

    @classmethod
    def read(cls, params: ChasmParams, features: Features, stimuli: Stimuli) -> VisualFeatures:
        """The two layers that `params` names; :class:`ConfigError` when their shapes do not fit."""
        arrays = []
        for layer, ndim, axes in (
            (params.cls_layer, 2, "(images, features)"),
            (params.patch_layer, 3, "(images, patches, features)"),
        ):
            values = features.layer(params.backbone, layer, stimuli)
            if values.ndim != ndim:
                raise ConfigError(
                    f"encoder chasm: layer '{layer}' of backbone '{params.backbone}' has shape "
                    f"{values.shape}; expected {axes}; choose others: "
                    "--set encoder.cls_layer=NAME --set encoder.patch_layer=NAME"
                )
            arrays.append(values)
        return cls(*arrays)


@dataclass(frozen=True, eq=False)
class FeatureScale:
    """Training mean and SD of every CLS feature and of every patch feature over all positions."""

    cls_mean: Tensor
    cls_sd: Tensor
    patch_mean: Tensor
    patch_sd: Tensor

    @classmethod
    def of(cls, sets: Sequence[VisualFeatures]) -> FeatureScale:
        """Statistics over all images of all `sets`, accumulated in float64."""
        cls_mean, cls_sd = moments([each.cls for each in sets])
        patch_mean, patch_sd = moments([each.patches for each in sets])
        return cls(*(torch.from_numpy(v) for v in (cls_mean, cls_sd, patch_mean, patch_sd)))

    def __call__(self, visual: VisualFeatures, images: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
        """Standardised cls (n, D) and patches (n, P, D') of some images, on `device`."""
        cls, patches = (
            torch.from_numpy(np.asarray(v[images], np.float32)).to(device)
            for v in (visual.cls, visual.patches)
        )
        moments = [v.to(device) for v in (self.cls_mean, self.cls_sd, self.patch_mean, self.patch_sd)]
        return (cls - moments[0]) / moments[1], (patches - moments[2]) / moments[3]
