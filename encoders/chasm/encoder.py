"""CHASMBrain as a plugin of the harness."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.api import Features, SpaceMismatch, Stimuli, SubjectData, VoxelSpace

from ..common.subjects import unknown
from .params import ChasmParams, Intervention, is_stochastic

if TYPE_CHECKING:
    from torch import Tensor

    from .model import ChasmModel
    from .transfer import TransferredSubject

logger = logging.getLogger(__name__)


class ChasmEncoder:
    """Images -> responses through clusters of voxels; several subjects share one trunk."""

    version = "1"
    stochastic = False
    branches = "intervention"
    Params = ChasmParams

    def __init__(self, params: ChasmParams) -> None:
        self.params = params
        self.stochastic = is_stochastic(params)
        self.model: ChasmModel | None = None
        self.transferred: list[TransferredSubject] = []
        self.history: dict[str, list[dict[str, float]]] = {}
        self._last: dict[str, Tensor] = {}

    def wants(self) -> tuple[tuple[str, str], ...]:
        """CLS and patch tokens of the backbone."""
        backbone = self.params.backbone
        return (backbone, self.params.cls_layer), (backbone, self.params.patch_layer)

    def fit(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Both stages on all `subjects` together; a killed training resumes to the same weights."""
        from .fitting import fit_model

        fitted = fit_model(
            subjects, features, self.params, seed=seed, device=device, checkpoint_dir=Path(checkpoint_dir)
        )
        self.model, self._last, self.history = fitted.model, fitted.last, fitted.history
        self.transferred = []
        logger.info("chasm encoder: %s", self.describe())

    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Add a linear head for one more subject; everything else stays frozen."""
        from .transfer import fit_transfer

        model = self._fitted()
        head = fit_transfer(model, subject, features, seed=seed, checkpoint_dir=Path(checkpoint_dir))
        other_heads = [each for each in self.transferred if each.space.sha != subject.space.sha]
        self.transferred = [*other_heads, head]

    def predict(
        self, stimuli: Stimuli, features: Features, *, space: VoxelSpace, seeds: np.ndarray
    ) -> np.ndarray:
        """(N, S, V) float32 in the units of `space`; masked voxels are 0.

        The samples are equal unless the latent (or the diffused residual) is drawn from `seeds`.
        """
        import torch

        from .dataset import VisualFeatures

        model = self._fitted()
        visual = VisualFeatures.read(self.params, features, stimuli)
        out = np.zeros((*seeds.shape, space.n_voxels), np.float32)
        for number, subject in enumerate(model.subjects):
            if subject.space.sha == space.sha:
                if self.params.predicts == "clusters":
                    coarse = model.clusters(visual, number)[:, None, subject.clusters.label]
                    out[..., space.valid] = subject.scale.restored(coarse)
                else:
                    out[..., space.valid] = subject.scale.restored(model.predict(visual, number, seeds))
                return out
        for subject in self.transferred:
            if subject.space.sha == space.sha:
                with torch.inference_mode():
                    scaled = subject.head(model.hidden(visual)).cpu().numpy()
                out[..., space.valid] = subject.scale.restored(scaled)[:, None]
                return out
        raise self._unknown(space)

    def predict_clusters(self, stimuli: Stimuli, features: Features, *, space: VoxelSpace) -> np.ndarray:
        """(N, R) Stage 1's cluster responses, standardised: what the paper's Table 4 compares."""
        from .dataset import VisualFeatures

        model = self._fitted()
        for number, subject in enumerate(model.subjects):
            if subject.space.sha == space.sha:
                return model.clusters(VisualFeatures.read(self.params, features, stimuli), number)
        raise self._unknown(space)

    def intervened(self, intervention: Intervention) -> ChasmEncoder:
        """The same weights with another intervention on the streams."""
        other = copy.copy(self)
        other.params = replace(self.params, intervention=intervention)
        other.model = replace(self._fitted(), params=other.params)
        return other

    def describe(self) -> dict[str, dict[str, int]]:
        """Number of parameters by stage and part."""
        from .describe import parameter_table

        model = self._fitted()
        return {"stage1": parameter_table(model.stage1), "stage2": parameter_table(model.stage2)}

    def save(self, folder: Path) -> None:
        """Weights, scales and clusters of every subject; also the weights of the last epochs."""
        from .saving import save_model

        save_model(
            Path(folder), self._fitted(), transferred=self.transferred, last=self._last, history=self.history
        )

    @classmethod
    def load(cls, folder: Path, params: ChasmParams, *, device: str) -> ChasmEncoder:
        """Read what :meth:`save` wrote."""
        from .saving import load_model

        encoder = cls(params)
        encoder.model, encoder.transferred, encoder.history, encoder._last = load_model(
            Path(folder), params, device=device
        )
        return encoder

    def _fitted(self) -> ChasmModel:
        if self.model is None:
            raise SpaceMismatch("the chasm encoder is not fitted; call fit with a subject's training data")
        return self.model

    def _unknown(self, space: VoxelSpace) -> SpaceMismatch:
        fitted = (each.space for each in (*self._fitted().subjects, *self.transferred))
        return unknown(space, fitted, self, name="chasm")
