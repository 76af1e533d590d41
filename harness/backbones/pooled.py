"""Networks that are read at their last pooled layer: Inception v3, EfficientNet-B1, two ResNets.

All four are torchvision's, whatever made their weights; the layer is its node ``avgpool``, flattened.

* Inception v3 (Szegedy et al. 2016), 2,048 units: "Incep" of reconstruction papers.  torchvision's
  builder turns ``transform_input`` on whenever it loads pretrained weights, since they expect inputs in
  [-1, 1]; it is part of the definition here.
* EfficientNet-B1 (Tan & Le 2019), 1,280 units: "Eff".  MindEye2 takes the weights ``IMAGENET1K_V2``;
  Brain-Diffuser's ``weights=True`` gets ``IMAGENET1K_V1`` from torchvision: another network.
* ResNet-18 (He et al. 2016), 512 units.
* SwAV (Caron et al. 2020, arXiv:2006.09882), ResNet-50 after 800 epochs, 2,048 units.  Its checkpoint
  also holds a projection head and prototypes, which the published loading leaves out, and no classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .pretrained import Pretrained, filled

if TYPE_CHECKING:
    import torch

SWAV_PREFIX = "module."
SWAV_HEADS = ("projection_head.", "prototypes.")


class Pooled(Pretrained):
    """A network whose output, its classifier taken off, is the layer ``avgpool``."""

    layers: ClassVar[tuple[str, ...]] = ("avgpool",)

    def forward(
        self, network: torch.nn.Module, x: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """``avgpool`` (n, units)."""
        return {"avgpool": network(x)} if layers else {}


class Inception(Pooled):
    """Inception v3 with torchvision's ImageNet weights."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`."""
        import torch
        from torchvision.models import Inception3

        with torch.device("meta"):
            network = Inception3(transform_input=True, init_weights=False)
        network = filled(network, state)
        network.fc = torch.nn.Identity()
        return network


class EfficientNet(Pooled):
    """EfficientNet-B1 with torchvision's second ImageNet weights."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`."""
        import torch
        from torchvision.models import efficientnet_b1

        with torch.device("meta"):
            network = efficientnet_b1(weights=None)
        network = filled(network, state)
        network.classifier = torch.nn.Identity()
        return network


class ResNet18(Pooled):
    """ResNet-18 with torchvision's ImageNet weights, which img2fmri's read-out was fitted on."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`."""
        import torch
        from torchvision.models import resnet18

        with torch.device("meta"):
            network = resnet18(weights=None)
        network = filled(network, state)
        network.fc = torch.nn.Identity()
        return network


class SwAV(Pooled):
    """ResNet-50 with SwAV's weights."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`."""
        import torch
        from torchvision.models import resnet50

        with torch.device("meta"):
            network = resnet50(weights=None)
        network.fc = torch.nn.Identity()
        return filled(network, swav_trunk(state))


def swav_trunk(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """SwAV's checkpoint under torchvision's names, without projection head and prototypes."""
    named = {key.removeprefix(SWAV_PREFIX): value for key, value in state.items()}
    return {key: value for key, value in named.items() if not key.startswith(SWAV_HEADS)}
