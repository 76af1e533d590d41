"""BERG, the Brain Encoding Response Generator: an adapter to its package and models.

Gifford, Bersch, Roig and Cichy 2025 (github gifale95/BERG, code CC BY-NC 4.0; models under BERG's terms,
research only).  The package is called as its README says; nothing of it is copied, and neither it nor its
weights can be had from PyPI.  It reads its weights with ``torch.load(weights_only=False)``, which executes
what a file says: the terms that are accepted before any is opened say so.  Models of images -> fMRI are
meant (``fmri-nsd-fwrf``); regions are asked for one after the other and put side by side, in BERG's own order
of voxels.  Which voxels of NSD these are is in its metadata (``roi_mask_volume``); the order was never
compared with a mask here, so no coordinates are given.  Images are cut to their centred square.  None of its
models was seen here: it is tested with a package of its interface.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.api import ConfigError, Features, PluginError, Stimuli, VoxelSpace, check_ranges
from harness.reading.terms import require_terms

from .base import PretrainedEncoder, centred_squares, package_folder, quietly

STREAMS = ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal")
"""Regions of ``fmri-nsd-fwrf`` that cover NSD's streams without overlap."""

PACKAGE = (
    "BERG is not installed. Type: pip install git+https://github.com/gifale95/BERG.git (code CC BY-NC 4.0, "
    "not for commercial use)"
)
WEIGHTS = (
    "BERG's models are not here. Type: aws s3 sync --no-sign-request "
    "s3://brain-encoding-response-generator FOLDER and then: --set encoder.folder=FOLDER"
)
BLANK = 224


class BergEncoder(PretrainedEncoder):
    """Images -> fMRI by a model of the Brain Encoding Response Generator."""

    name = "berg"
    takes: ClassVar[str] = "model"

    @dataclass(frozen=True)
    class Params:
        """model : BERG's id.  subject : its number.  regions : side by side.  folder : BERG's directory."""

        model: str = "fmri-nsd-fwrf"
        subject: int = 1
        regions: tuple[str, ...] = STREAMS
        folder: str = ""

        def __post_init__(self) -> None:
            check_ranges(self, {"subject": (1, 8)}, section="encoder")
            if not self.regions:
                raise ConfigError("encoder.regions is empty; name at least one, for example [V1]")

    def training_sets(self) -> Sequence[str]:
        """NSD, but for shared images in its test part; whole, as nobody can tell them apart by their set."""
        return ("nsd-73k",) if "nsd" in self.params.model else ()

    @staticmethod
    def missing(params: Any, *, subject: str) -> tuple[str, ...]:
        """The package, its models, or its terms."""
        lines = [] if package_folder("berg") is not None else [PACKAGE]
        if not params.folder or not (Path(params.folder).expanduser() / "encoding_models").is_dir():
            lines.append(WEIGHTS)
        try:
            require_terms("berg")
        except ConfigError as problem:
            lines.append(str(problem))
        return tuple(lines)

    @cached_property
    def _opened(self) -> tuple[Any, list[Any]]:
        """BERG and its model of each region."""
        self.require(None)
        with quietly("BERG"):
            berg = importlib.import_module("berg").BERG(berg_dir=str(Path(self.params.folder).expanduser()))
            models = [
                berg.get_encoding_model(
                    self.params.model,
                    subject=self.params.subject,
                    selection={"roi": region},
                    device=self.device,
                )
                for region in self.params.regions
            ]
        return berg, models

    @cached_property
    def _space(self) -> VoxelSpace:
        berg, models = self._opened
        blank = np.full((1, 3, BLANK, BLANK), 128, np.uint8)
        counts, ncsnr = [], []
        for model in models:
            with quietly("BERG"):
                responses, metadata = berg.encode(model, blank, return_metadata=True)
            counts.append(np.asarray(responses).shape[1])
            ratios = np.ravel(metadata.get("fmri", {}).get("ncsnr", ()))
            ncsnr.append(ratios if len(ratios) == counts[-1] else None)
        ends = np.cumsum([0, *counts])
        where = np.arange(ends[-1])
        p = self.params
        return VoxelSpace(
            *("nsd", f"subj{p.subject:02d}", "+".join(p.regions), int(ends[-1]), "zscore_session"),
            f"berg-{p.model}-{p.subject}-{p.regions}-{counts}",
            rois={
                region: (where >= first) & (where < last)
                for region, first, last in zip(p.regions, ends[:-1], ends[1:])
            },
            ncsnr=None if any(part is None for part in ncsnr) else np.concatenate(ncsnr),
        )

    def own_space(self) -> VoxelSpace:
        """The voxels of the regions, in BERG's order, with its noise ceilings where these fit."""
        return self._space

    def respond(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V) float32."""
        berg, models = self._opened
        planes = np.ascontiguousarray(centred_squares(stimuli.images()).transpose(0, 3, 1, 2))
        parts = []
        for model, region in zip(models, self.params.regions):
            with quietly("BERG"):
                part = np.asarray(berg.encode(model, planes), np.float32)
            if part.ndim != 2 or len(part) != len(planes):
                raise PluginError(f"BERG gave {part.shape} for {region}; expected ({len(planes)}, voxels)")
            parts.append(part)
        return np.concatenate(parts, axis=1)
