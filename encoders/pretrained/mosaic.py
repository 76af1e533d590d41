"""MOSAIC's brain-optimised networks: an adapter to the package ``mosaic-dataset`` and its checkpoints.

Lahner et al. 2025 (PyPI ``mosaic-dataset`` 0.0.6; it states no licence, so ask before results are passed
on). ``mosaic.from_pretrained`` builds a network and fetches a checkpoint that is not in its folder: here a
missing one is said instead, and nothing is fetched.  Equal: its preprocessing (centred square, 224 x 224,
ImageNet's statistics).  Responses are those of vertices on fsLR32k in MOSAIC's own order.  None of its
checkpoints was seen here: it is tested with a package of its interface.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from harness.api import Features, PluginError, Stimuli, VoxelSpace, check_ranges
from harness.backbones.preprocessing import IMAGENET, pictures

from .base import PretrainedEncoder, centred_squares, package_folder, quietly

PACKAGE = "MOSAIC's package is not installed. Type: pip install mosaic-dataset (it states no licence)"
WEIGHTS = (
    "MOSAIC's checkpoint {file} is not in {folder}. Fetch it with mosaic.from_pretrained(..., folder=FOLDER) "
    "where there is internet, and type: --set encoder.folder=FOLDER"
)
SIDE = 224
CHUNK = 32


class MosaicEncoder(PretrainedEncoder):
    """Images -> responses on the cortical surface by a network of MOSAIC."""

    name = "mosaic"
    takes: ClassVar[str] = "model"

    @dataclass(frozen=True)
    class Params:
        """Which checkpoint, and whose read-out of it.

        model, framework, trained_on, vertices : as the checkpoint is called.  dataset, subject : who is
        predicted.  folder : of the checkpoints.
        """

        model: Literal["CNN8", "ResNet18", "AlexNet", "SqueezeNet1_1", "SwinT"] = "CNN8"
        framework: Literal["multihead", "singlehead"] = "multihead"
        trained_on: str = "all"
        vertices: Literal["visual", "all"] = "visual"
        dataset: str = "NSD"
        subject: int = 1
        folder: str = ""

        def __post_init__(self) -> None:
            check_ranges(self, {"subject": (1, 30)}, section="encoder")

        @property
        def checkpoint(self) -> str:
            """The file's name."""
            words = f"framework-{self.framework}_subjects-{self.trained_on}_vertices-{self.vertices}"
            return f"model-{self.model}_{words}.pth"

    def training_sets(self) -> Sequence[str]:
        """MOSAIC's data sets, or NSD alone."""
        return ("mosaic", "nsd-73k") if self.params.trained_on == "all" else ("nsd-73k",)

    @staticmethod
    def missing(params: Any, *, subject: str) -> tuple[str, ...]:
        """The package or the checkpoint."""
        lines = [] if package_folder("mosaic") is not None else [PACKAGE]
        if not params.folder or not (Path(params.folder).expanduser() / params.checkpoint).is_file():
            lines.append(
                WEIGHTS.format(
                    file=params.checkpoint, folder=params.folder or "encoder.folder, which is empty"
                )
            )
        return tuple(lines)

    @cached_property
    def _network(self) -> Any:
        self.require(None)
        p = self.params
        with quietly("MOSAIC"):
            network = importlib.import_module("mosaic").from_pretrained(
                backbone_name=p.model,
                framework=p.framework,
                subjects=p.trained_on,
                vertices=p.vertices,
                folder=str(Path(p.folder).expanduser()),
            )
        return network.to(self.device).eval()

    @cached_property
    def _space(self) -> VoxelSpace:
        voxels = self._predicted(np.full((1, SIDE, SIDE, 3), 128, np.uint8)).shape[1]
        p = self.params
        return VoxelSpace(
            *(p.dataset, f"sub-{p.subject:02d}", f"fsLR32k-{p.vertices}", voxels, "zscore"),
            f"mosaic-{p.checkpoint}-{voxels}",
        )

    def own_space(self) -> VoxelSpace:
        """Vertices of fsLR32k, in MOSAIC's order."""
        return self._space

    def respond(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V) float32."""
        return self._predicted(centred_squares(stimuli.images()))

    def _predicted(self, images: np.ndarray) -> np.ndarray:
        """Squares (n, side, side, 3) uint8 -> (n, V)."""
        import torch

        p, parts = self.params, []
        who = {} if p.framework == "singlehead" else {"names_and_subjects": {p.dataset: [p.subject]}}
        for start in range(0, len(images), CHUNK):
            small = pictures(images[start : start + CHUNK], SIDE, filter="bilinear")
            planes = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                out = self._network(IMAGENET.normalised(planes).to(self.device), **who)
            if isinstance(out, dict):
                out = out[p.dataset][f"sub-{p.subject:02}"]
            if out.ndim != 2 or len(out) != len(small):
                raise PluginError(f"MOSAIC gave {tuple(out.shape)}; expected ({len(small)}, vertices)")
            parts.append(out.float().cpu().numpy())
        return np.concatenate(parts)
