"""The decoder ``mindeye2`` (Scotti et al. 2024): fMRI -> CLIP tokens -> prior -> unCLIP picture.

What it computes is in :mod:`.core`; this chooses its parts: the public files, or this project's small
ones.
"""

from __future__ import annotations

from harness.api import VoxelSpace
from harness.nn.costs import DecodingCosts

from .core import MindEye2Core
from .params import MindEye2Params


class MindEye2Decoder(MindEye2Core):
    """Fitted per subject from a part trained on others; draws one picture per image by default."""

    version = "1"
    Params = MindEye2Params

    def __init__(self, params: MindEye2Params) -> None:
        self.params = params
        super().__init__(lambda: source_of(params).parts(params), params.decoding())

    def identity(self) -> str:
        """Of the weights that it is made of; :class:`harness.errors.WeightsMissing` without them."""
        return source_of(self.params).fingerprint(self.params)

    @staticmethod
    def missing(params: MindEye2Params, *, subject: str) -> list[str]:
        """A line for each file of weights that is not there."""
        return source_of(params).missing(params, subject)

    @staticmethod
    def pretrained(params: MindEye2Params) -> bool:
        """Whether a published model decodes as it is, without a fit."""
        return bool(params.checkpoint)

    @classmethod
    def from_pretrained(cls, params: MindEye2Params, space: VoxelSpace, *, device: str) -> MindEye2Decoder:
        """The published model that ``params.checkpoint`` names, for responses of `space`.

        Raises
        ------
        WeightsMissing, DataError
            Files that are not there; a checkpoint that is damaged, of another subject or of another width.
        """
        from .checkpoints import read_weights

        decoder = cls(params)
        file = source_of(params).checkpoint_file(params, space.subject)
        decoder.take_up(read_weights(file), space, file=file)
        decoder.open(space, device=device)
        return decoder

    @staticmethod
    def costs(params: MindEye2Params, *, images: int) -> DecodingCosts | None:
        """What decoding `images` images at once takes at the released sizes; None of the small parts."""
        if params.weights == "tiny":
            return None
        from . import counts

        return counts.decoding(params, images=images)

    @staticmethod
    def captions(params: MindEye2Params) -> bool:
        """Whether it captions what it decodes."""
        return params.captions

    def networks(self) -> tuple[str, ...]:
        """Backbones of the harness that it looks through; none is the public files' ViT-bigG.

        The refinement is prompted through CLIP ViT-L/14, whose image half also scores.
        """
        if self.params.weights == "tiny":
            return ("bigg@tiny",)
        return ("clip-l14-text",) if self.params.refine else ()

    def training_sets(self) -> tuple[str, ...]:
        """``coco`` with captions: GIT was fine-tuned on COCO, from which NSD's images are."""
        return ("coco",) if self.params.captions else ()


def source_of(params: MindEye2Params):
    """The module that has the parts which ``params.weights`` names."""
    if params.weights == "tiny":
        from .tiny import small as source
    else:
        from . import public as source
    return source
