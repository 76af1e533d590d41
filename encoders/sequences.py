"""The simple networks of CHASMBrain's Table 1: ``mlp``, ``gru`` and ``lstm`` (arXiv 2606.04772).

The paper gives their names and results alone; layers and training are chosen: the mean patch through two
hidden layers, or the patches row by row through a recurrent network whose last state is read out.  Its
figures for them are worse than those of a constant prediction, so they were hardly tuned; here nothing is
tuned to match.

Card: structure inferred, sizes and training chosen; trained on the subject's own responses; code Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from .common.network import Batch, FittedSubject, SeparateEncoder, Stage
from .common.tokens import TokenEncoder, TokenTraining

if TYPE_CHECKING:
    from torch import Tensor, nn


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
        from .common.readouts import Readout

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
        import torch.nn.functional as F

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
