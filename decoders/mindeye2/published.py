"""A published model of a subject, decoding as it is: which of its ridge layers is the subject's.

Released folders are named ``final_subj01_pretrained_40sess_24bs`` (one ridge layer, of that subject) and
``final_multisubject_subj01`` (one for each of the seven others, ascending).  The name decides which layer is
whose, and the number of its voxels must be that of the data; a file with no such name is taken by the number
of voxels alone, where only one layer has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from harness.api import DataError, VoxelSpace

from .backbone import BackboneSettings
from .checkpoints import ridge_voxels, settings_of
from .given_files import FIT
from .model import ModelSettings

_SUBJECT = re.compile(r"subj0*(\d+)", re.IGNORECASE)


def subject_weights(
    weights: Mapping[str, torch.Tensor], space: VoxelSpace, *, file: Path
) -> dict[str, torch.Tensor]:
    """`weights` with the ridge layer of the subject of `space` as their only one.

    Raises
    ------
    DataError
        The file is another subject's, or has no layer of as many voxels.
    """
    layer = ridge_layer(ridge_voxels(weights), space, file=file)
    own = f"ridge.linears.{layer}."
    kept = {name: value for name, value in weights.items() if not name.startswith("ridge.")}
    return kept | {
        f"ridge.linears.0.{name.removeprefix(own)}": value
        for name, value in weights.items()
        if name.startswith(own)
    }


def ridge_layer(sizes: Sequence[int], space: VoxelSpace, *, file: Path) -> int:
    """Which of the layers with `sizes` voxels is the subject's; see the module."""
    counts = f"{space.n_valid}" if space.n_valid == space.n_voxels else f"{space.n_valid} of {space.n_voxels}"
    data = f"the data have {counts} voxels of {space.subject}"
    fits = [k for k, size in enumerate(sizes) if size in (space.n_valid, space.n_voxels)]
    named, wanted = _number(file.parent.name), _number(space.subject)
    if not sizes:
        raise DataError(f"{file} has no ridge layer (ridge.linears.0.weight); expected a MindEye2 checkpoint")
    if named is None or wanted is None:
        if len(fits) != 1:
            raise DataError(
                f"{file} has ridge layers of {_listed(sizes)} voxels and no subject in its folder's name; "
                f"{data}, which fits {len(fits)} of them; expected one: {FIT}"
            )
        return fits[0]
    if len(sizes) == 1 and named != wanted:
        raise DataError(f"{file} is of subject {named}; {data}: give that subject's checkpoint, or {FIT}")
    if len(sizes) > 1 and named == wanted:
        raise DataError(
            f"{file} was trained on all subjects but {wanted} and has no ridge layer for it: give that "
            f"subject's own checkpoint, or {FIT}"
        )
    others = [number for number in range(1, len(sizes) + 2) if number != named]
    layer = 0 if len(sizes) == 1 else others.index(wanted) if wanted in others else len(sizes)
    if layer not in fits:
        has = f"{sizes[layer]} voxels" if layer < len(sizes) else "no voxels"
        raise DataError(
            f"{file} has {has} in the ridge layer of subject {wanted}; {data}: give responses of the same "
            f"voxels (MindEye2 was trained on nsdgeneral at 1.8 mm), or {FIT}"
        )
    return layer


def published_settings(
    weights: Mapping[str, torch.Tensor], expected: ModelSettings, *, file: Path
) -> ModelSettings:
    """Sizes of the network in `weights`, which must speak of the tokens and latents that the parts have."""
    settings = settings_of(weights)[1]
    ours, theirs = expected.backbone, settings.backbone
    for what, own, given in (
        ("tokens", (ours.tokens, ours.token_dim), (theirs.tokens, theirs.token_dim)),
        ("low-level latents", _latents(ours), _latents(theirs)),
    ):
        compared = what == "tokens" or (ours.low_level and theirs.low_level)
        if compared and own != given:
            raise DataError(
                f"{file} predicts {what} of shape {given} and the other parts have {own}; give a "
                f"checkpoint of their width, or {FIT}"
            )
    return settings


def _latents(settings: BackboneSettings) -> tuple[int, int, int]:
    return (settings.latent_channels, settings.latent_side, settings.latent_side)


def _number(name: str) -> int | None:
    numbers = {int(number) for number in _SUBJECT.findall(name)}
    return numbers.pop() if len(numbers) == 1 else None


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
