"""BraInCoRL as a plugin."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.api import Features, SubjectData
from harness.toolkit import seeded

from ..common.inputs import Inputs, read
from ..common.network import Batch, FittedSubject, Model, NetworkEncoder, Stage
from ..common.params import Training
from ..common.training_data import VoxelScale

if TYPE_CHECKING:
    from torch import Tensor, nn

VOXELS_AT_ONCE = 128
"""Voxels whose weights are inferred together."""


class BraincorlEncoder(NetworkEncoder):
    """A voxel's responses to some images -> its weights, inferred in one pass; no gradient on the new
    subject.

    It learns to do so on the voxels of the subjects of a fit; `adapt` then takes a passage of another
    subject's responses and is done.
    """

    name = "braincorl"
    axes: ClassVar[Mapping[str, int]] = {"image": 2}

    @dataclass(frozen=True, kw_only=True)
    class Params(Training):
        """Sizes and training; the defaults are the published ones for CLIP embeddings.

        layer : one vector an image, which is given unit length.
        width, depth, heads, inner, registers, mlp_inner, dropout : of :class:`.network.HyperWeights`.
        context : fewest and most images of a voxel in training; the rest of a batch is predicted.
        voxels : of each batch.  shown : images that the weights of a fitted or adapted subject come from.
        epochs : passes over all voxels, as the authors count them, whatever the number of images.
        """

        backbone: str = "clip"
        layer: str = "image"
        width: int = 560
        depth: int = 20
        heads: int = 10
        inner: int = 2048
        registers: int = 4
        mlp_inner: int = 1120
        dropout: float = 0.5
        context: tuple[int, int] = (30, 500)
        voxels: int = 64
        shown: int = 500
        train_on: Literal["trials", "means"] = "means"
        epochs: int = 100
        batch: int = 600
        rate: float = 1e-4
        decay: float = 0.1

    def layers(self) -> Mapping[str, tuple[str, str]]:
        """The embedding."""
        return {"image": (self.params.backbone, self.params.layer)}

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``predictor``, and the inferred weights of each subject's voxels."""
        import torch
        from torch import nn

        from .network import HyperWeights

        p, (embedding,) = self.params, shapes["image"]
        network = nn.Module()
        network.predictor = HyperWeights(
            embedding,
            width=p.width,
            layers=p.depth,
            heads=p.heads,
            inner=p.inner,
            registers=p.registers,
            mlp_inner=p.mlp_inner,
            dropout=p.dropout,
        )
        for number, subject in enumerate(subjects):
            network.register_buffer(f"weights{number}", torch.zeros(subject.voxels, embedding + 1))
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Squared error of what the context's weights predict of the other images."""
        import torch
        import torch.nn.functional as F

        from .network import respond

        p = self.params

        def loss(batch: Batch) -> Mapping[str, Tensor]:
            images, count = F.normalize(batch.images["image"], dim=-1), len(batch.voxels)
            high = min(p.context[1], max(1, 3 * count // 4))  # some are left to be predicted
            low = min(p.context[0], high)
            shown = int(torch.randint(low, high + 1, ())) if batch.training else high
            most = p.voxels if batch.training else max(p.voxels, VOXELS_AT_ONCE)
            responses = batch.voxels[:, batch.some_voxels(most)].T  # (v, B)
            context = images[:shown].expand(len(responses), -1, -1)
            weights = network.predictor(context, responses[:, :shown])
            first = shown if shown < count else 0  # a single image is predicted from itself
            return {"mse": F.mse_loss(respond(weights, images[first:]), responses[:, first:])}

        steps = math.ceil(sum(subject.voxels for subject in subjects) / p.voxels)
        return [Stage.of(p, "predictor", network.predictor, loss, steps=steps)]

    def finish(self, model: Model, number: int, inputs: Inputs, voxels: Tensor, image: np.ndarray) -> None:
        """Infer the weights of a subject's voxels from the first `shown` items in a seeded order."""
        import torch
        import torch.nn.functional as F

        with seeded(0, "braincorl context"):
            items = torch.randperm(len(voxels))[: self.params.shown]
        images = inputs.rows(image[items.numpy()], self._device)["image"]
        images = F.normalize(images, dim=-1)
        weights = getattr(model.network, f"weights{number}")
        with torch.no_grad():
            for start in range(0, len(weights), VOXELS_AT_ONCE):
                part = voxels[items, start : start + VOXELS_AT_ONCE].T.to(self._device)
                context = images.expand(len(part), -1, -1)
                weights[start : start + len(part)] = model.network.predictor(context, part)

    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Infer the weights of one more subject; nothing is trained."""
        import torch

        source, space = self.models[0], subject.space
        responses = subject.train.responses.mean()[:, space.valid]
        scale = VoxelScale.of(responses)
        fitted = FittedSubject(space, scale, {})
        network = copy.deepcopy(source.network)
        for number in range(len(source.subjects)):
            delattr(network, f"weights{number}")
        shape = (fitted.voxels, source.network.weights0.shape[1])
        network.register_buffer("weights0", torch.zeros(shape, device=self._device))
        model = Model(network, [fitted], source.scales, source.shapes)
        inputs = Inputs(read(self.layers(), self.axes, features, subject.train.stimuli), model.scales)
        image = np.arange(len(responses))
        self.finish(model, 0, inputs, scale.standardised(responses), image)
        self.models.append(model)

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """Embeddings times weights."""
        import torch.nn.functional as F

        from .network import respond

        embeddings = F.normalize(images["image"], dim=-1)
        return respond(getattr(model.network, f"weights{subject}"), embeddings).T
