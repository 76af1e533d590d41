"""The simple networks of CHASMBrain's Table 1: ``mlp``, ``gru`` and ``lstm`` (arXiv 2606.04772).

The paper gives their names and results alone; layers and training are chosen: the mean patch through two
hidden layers, or the patches row by row through a recurrent network whose last state is read out.  Its
figures for them are worse than those of a constant prediction, so they were hardly tuned; here nothing is
tuned to match.

Card: structure inferred, sizes and training chosen; trained on the subject's own responses; code Apache-2.0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from .common.network import Batch, FittedSubject, SeparateEncoder, Stage
from .common.tokens import TokenEncoder, TokenTraining


class Readout(nn.Module):
    """Patches (B, P, D) -> (B, V)."""

    def __init__(self, kind: str, given: int, voxels: int, *, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        if kind == "mlp":
            sizes = [given, *[width] * depth]
            self.body = nn.Sequential(
                *(
                    layer
                    for a, b in itertools.pairwise(sizes)
                    for layer in (nn.Linear(a, b), nn.GELU(), nn.Dropout(dropout))
                )
            )
        else:
            recurrent = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
            self.body = recurrent(given, width, depth, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, voxels)

    def forward(self, patches: Tensor) -> Tensor:
        if self.kind == "mlp":
            return self.head(self.body(patches.mean(dim=1)))
        return self.head(self.dropout(self.body(patches)[0][:, -1]))


class SequenceEncoder(TokenEncoder, SeparateEncoder):
    """Patches of a backbone -> responses, by one of three plain networks."""

    presets = "sequences.presets.yaml"
    scaled: ClassVar[tuple[str, ...]] = ("tokens",)

    @dataclass(frozen=True, kw_only=True)
    class Params(TokenTraining):
        """Sizes and training.

        width, depth : of the hidden layers.  dropout : before each read-out.
        """

        width: int = 512
        depth: int = 1
        dropout: float = 0.3
        patience: int = 8
        train_on: Literal["trials", "means"] = "means"

    def __init__(self, params: Any, *, kind: str = "mlp") -> None:
        super().__init__(params)
        self.kind = self.name = kind

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """See :class:`Readout`."""
        p = self.params
        return Readout(
            self.kind,
            shapes["tokens"][-1],
            subjects[0].voxels,
            width=p.width,
            depth=p.depth,
            dropout=p.dropout,
        )

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Squared error."""

        def loss(batch: Batch) -> Mapping[str, Tensor]:
            return {"mse": F.mse_loss(network(batch.images["tokens"]), batch.voxels)}

        return [Stage.of(self.params, "readout", network, loss, schedule="cosine")]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """One pass."""
        return model.network(images["tokens"])


class MlpEncoder(SequenceEncoder):
    """Hidden layers on the mean patch."""

    name = "mlp"

    @dataclass(frozen=True, kw_only=True)
    class Params(SequenceEncoder.Params):
        """See :class:`SequenceEncoder`; two layers of 2,048."""

        width: int = 2048
        depth: int = 2

    def __init__(self, params: Any) -> None:
        super().__init__(params, kind="mlp")


class GruEncoder(SequenceEncoder):
    """A GRU over the patches."""

    name = "gru"

    def __init__(self, params: Any) -> None:
        super().__init__(params, kind="gru")


class LstmEncoder(SequenceEncoder):
    """An LSTM over the patches."""

    name = "lstm"

    def __init__(self, params: Any) -> None:
        super().__init__(params, kind="lstm")
