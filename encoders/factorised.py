"""Factorised read-out (Klindt, Ecker, Euler & Bethge 2017, arXiv:1711.02653): a voxel is one mask over the
places of a feature map times one weight for each of its channels; *where* and *what* are learned apart.

Faithful: the product of mask and weights, masks that are not negative, the penalty on the product of their
absolute sums, Adam, early stopping (written from the paper and from its code, david-klindt/NIPS2017 b0a4eae,
which states no licence; none of it is here).
Chosen: the map is a frozen network's tokens, standardised for each channel, where the authors train a
convolution together with the read-out; weights may be negative and nothing bends the output, since responses
are z-scored and no spike counts; squared error in place of the Poisson likelihood; masks start even, not at
random.  Unlike `fwrf` (St-Yves & Naselaris 2018) the mask is of any shape and no Gaussian.  Trained on the
subject's own responses; code Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api import ConfigError

from .common.network import Batch, FittedSubject, SeparateEncoder, Stage
from .common.tokens import TokenEncoder, TokenTraining

if TYPE_CHECKING:
    from torch import Tensor, nn


class FactorisedEncoder(TokenEncoder, SeparateEncoder):
    """Image tokens -> responses, each voxel by a mask over places times a weight for each channel."""

    name = "factorised"
    scaled: ClassVar[tuple[str, ...]] = ("tokens",)

    @dataclass(frozen=True, kw_only=True)
    class Params(TokenTraining):
        """The map, the read-out and its training.

        skip : first tokens that are no place (the class token of a block).
        mask : ``positive``, or of either sign.  sparsity : weight of the penalty; 0 leaves it out.
        """

        layer: str = "block9"
        skip: int = 1
        mask: Literal["positive", "signed"] = "positive"
        sparsity: float = 0.02
        train_on: Literal["trials", "means"] = "means"
        epochs: int = 100
        batch: int = 256
        rate: float = 5e-3
        patience: int = 5

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """See :class:`FactorisedReadout`."""
        from .common.readouts import FactorisedReadout

        p, (tokens, width) = self.params, shapes["tokens"]
        if tokens <= p.skip:
            raise ConfigError(
                f"encoder.skip is {p.skip} and layer '{p.layer}' of backbone '{p.backbone}' has {tokens} "
                "tokens; expected at least one after those"
            )
        return FactorisedReadout(tokens - p.skip, width, subjects[0].voxels, positive=p.mask == "positive")

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Squared error and the penalty, by which no epoch is chosen."""
        import torch.nn.functional as F

        p = self.params

        def loss(batch: Batch) -> Mapping[str, Tensor]:
            terms = {"mse": F.mse_loss(network(self._places(batch.images)), batch.voxels)}
            if p.sparsity and batch.training:
                terms["sparsity"] = p.sparsity * network.sparsity()
            return terms

        return [Stage.of(p, "readout", network, loss)]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: Any) -> Tensor:
        """One pass."""
        return model.network(self._places(images))

    def _places(self, images: Mapping[str, Tensor]) -> Tensor:
        return images["tokens"][:, self.params.skip :]
