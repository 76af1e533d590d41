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

from abc import abstractmethod
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


class Headless(Pooled):
    """A network of torchvision, filled with its weights and then without its classifier, `head`."""

    head: ClassVar[str] = "fc"

    @abstractmethod
    def empty(self) -> torch.nn.Module:
        """The network, its weights not filled."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`."""
        import torch

        with torch.device("meta"):
            network = self.empty()
        network = filled(network, state)
        setattr(network, self.head, torch.nn.Identity())
        return network


class Inception(Headless):
    """Inception v3 with torchvision's ImageNet weights."""

    def empty(self) -> torch.nn.Module:
        """See :class:`Headless`."""
        from torchvision.models import Inception3

        return Inception3(transform_input=True, init_weights=False)


class EfficientNet(Headless):
    """EfficientNet-B1 with torchvision's second ImageNet weights."""

    head = "classifier"

    def empty(self) -> torch.nn.Module:
        """See :class:`Headless`."""
        from torchvision.models import efficientnet_b1

        return efficientnet_b1(weights=None)


class ResNet18(Headless):
    """ResNet-18 with torchvision's ImageNet weights, which img2fmri's read-out was fitted on."""

    def empty(self) -> torch.nn.Module:
        """See :class:`Headless`."""
        from torchvision.models import resnet18

        return resnet18(weights=None)


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
