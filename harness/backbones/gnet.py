"""GNet, a network that predicts the responses of NSD subjects to an image, from MindEye2's file of weights.

An encoder trained end to end on all eight subjects (Allen et al. 2022; St-Yves, Allen, Wu, Kay &
Naselaris 2023): convolutions that all subjects share give two sets of 256 feature maps, 25 x 25 and 13 x 13.
Voxel v reads set r through a field of its own, the softmax of `rf{r}` over positions, and

    response_v = b_v + sum_k w_vk f( sum_xy softmax(rf_v)_xy f(map_k)_xy ),    f(x) = log(1 + |x|) tanh(x).

MindEye2 (Scotti et al. 2024) publishes the weights and names them in ``src/models.py`` (c184718), which
the names of parameters below follow.  Layers are subjects: ``subj01`` is (n, V) predicted responses in
the order of that subject's nsdgeneral voxels, on the scale of betas z-scored within sessions.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ConfigError, WeightsMissing
from . import weights
from .gnet_sizes import SIDE
from .images import planes
from .pretrained import Pretrained

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

NSDGENERAL = {
    **{"subj01": 15724, "subj02": 14278, "subj03": 15226, "subj04": 13153},
    **{"subj05": 13039, "subj06": 17907, "subj07": 12682, "subj08": 14386},
}
"""Voxels of each NSD subject's nsdgeneral mask at 1.8 mm (``func1pt8mm``)."""


@dataclass(frozen=True)
class GNetInput:
    """8-bit pictures resized by Pillow's Lanczos filter to a square, on the scale [0, 1].

    Floats are cut, not rounded, to 8 bit, as torchvision's ``ToPILImage`` does in the public evaluation.
    The mean image is subtracted in the network, which has it among its parameters.
    """

    side: int = SIDE
    source: str = "MindEyeV2 c184718 src/models.py and src/final_evaluations.ipynb"

    def apply(self, images: np.ndarray, *, device: str = "cpu") -> torch.Tensor:
        """Images (n, H, W, 3), uint8 or float in [0, 1] -> (n, 3, side, side) float32."""
        from PIL import Image

        images = np.asarray(images)
        if images.dtype != np.uint8:
            images = (planes(images).numpy().transpose(0, 2, 3, 1) * np.float32(255)).astype(np.uint8)
        out = np.empty((len(images), self.side, self.side, 3), np.uint8)
        for k, image in enumerate(images):
            picture = Image.fromarray(image).resize((self.side, self.side), Image.Resampling.LANCZOS)
            out[k] = np.asarray(picture)
        return planes(out).to(device)


class GNet(Pretrained):
    """GNet with the weights that ``harness prefetch gnet`` stores; one layer per subject."""

    layers: ClassVar[tuple[str, ...]] = tuple(NSDGENERAL)

    def __init__(self) -> None:
        super().__init__(name="gnet", weights="gnet", preprocessing=GNetInput())

    def state(self) -> dict[str, torch.Tensor]:
        """Parameters under ``shared.`` and ``readouts.subj0N.``, see :func:`read_gnet`."""
        return read_gnet(weights.locate(self.weights))

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`; subjects that the weights lack cannot be asked for later."""
        from .gnet_network import gnet_network

        return gnet_network(state)

    def forward(
        self, network: torch.nn.Module, x: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Subject -> (n, V) predicted responses."""
        for subject in layers:
            if subject not in network.readouts:
                raise ConfigError(
                    f"the weights of GNet hold no voxels of {subject}; they hold "
                    f"{', '.join(network.readouts) or 'no subject'}"
                )
        maps = network.shared(x)
        return {subject: network.readouts[subject](maps) for subject in layers}


def read_gnet(file: Path) -> dict[str, torch.Tensor]:
    """Parameters in a file of the layout of ``gnet_multisubject.pt``, by name.

    The file is a mapping; ``best_params`` in it maps ``enc`` to the shared parameters and ``fwrfs``
    to those of each subject, by its number.  What else it holds (masks and indices of voxels, validation
    scores, the mean image that ``enc`` has too) is not needed, and nothing in it is run.

    Raises
    ------
    WeightsMissing
        Another layout; said are the keys that were expected and those that are there.
    """
    import torch

    content = _content(file)
    best = _mapping(content, "best_params", file)
    shared = {f"shared.{name}": value for name, value in _mapping(best, "enc", file).items()}
    readouts = {}
    for number, own in _mapping(best, "fwrfs", file).items():
        subject = f"subj{number:02d}" if isinstance(number, int) else str(number)
        if subject not in NSDGENERAL or not isinstance(own, Mapping):
            raise WeightsMissing(
                f"{file}: best_params.fwrfs holds {number!r}; expected the numbers 1 to 8 of subjects, each "
                "with rf0, rf1, w and b"
            )
        readouts |= {f"readouts.{subject}.{name}": value for name, value in own.items()}
    for name, value in (weights_read := shared | readouts).items():
        if not isinstance(value, torch.Tensor):
            raise WeightsMissing(f"{file}: {name} is no tensor but {type(value).__name__}")
    return weights_read


def _mapping(content: Any, key: str, file: Path) -> Mapping[Any, Any]:
    if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
        return content[key]
    there = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise WeightsMissing(
        f"{file} does not have the layout of gnet_multisubject.pt: expected a mapping {key!r}, found "
        f"{there[:200] or 'nothing'}. Delete the file and type: harness prefetch gnet"
    )


class _StandIn:
    """Takes the place of an object that is not needed, such as a numpy array; does nothing."""

    def __init__(self, *args: Any, **more: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


@contextlib.contextmanager
def _stand_ins(file: Path) -> Iterator[None]:
    """Let every class and function named in the file, but torch's own, mean :class:`_StandIn`."""
    import torch

    unknown = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    if unknown:
        logger.debug("%s: left out objects of %s", file.name, ", ".join(sorted(unknown)))
    classes = [(type(f"StandIn{k}", (_StandIn,), {}), name) for k, name in enumerate(unknown)]
    with torch.serialization.safe_globals(classes):
        yield


def _content(file: Path) -> Any:
    """What the file holds; tensors stay on disk until they are read."""
    import torch

    try:
        if not zipfile.is_zipfile(file):
            raise pickle.UnpicklingError("not a zip archive, as torch.save writes since 1.6")
        with _stand_ins(file):
            return torch.load(str(file), map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]
        raise WeightsMissing(
            f"the weights {file} cannot be read without running what is in them: {reason}"
        ) from None
