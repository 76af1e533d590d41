"""Two-way identification with ties lost, as the papers' code counts: ``strict`` variants by name.

MindEye2's notebook, Brain-Diffuser's scripts and SynBrain's evaluation, which is MindEye2's, compare by
``<``, so that an equal correlation is a loss.  The metrics without ``strict`` in their names count it half,
which is what guessing would win.  The two differ only where correlations are equal to 1e-12, as for two
copies of one stimulus or for a decoder that always makes the same picture: 0.5 there, 0 here.

Every metric of two-way identification in the whole pool has its variant, with the same network and
layer; off unless asked for by name or by a protocol (:mod:`harness.protocols`).
"""

from __future__ import annotations

from typing import ClassVar

from . import brain_diffuser, identification, networks, pretrained


class _Strict:
    default: ClassVar[bool | str] = False
    strict: ClassVar[bool] = True


class AlexNet2(_Strict, pretrained.AlexNet2):
    """Ties lost."""

    label = "Alex(2) strict"


class AlexNet5(_Strict, pretrained.AlexNet5):
    """Ties lost."""

    label = "Alex(5) strict"


class Inception(_Strict, pretrained.Inception):
    """Ties lost."""

    label = "Incep strict"


class Clip(_Strict, pretrained.Clip):
    """Ties lost."""

    label = "CLIP strict"


class DINOv2(_Strict, pretrained.DINOv2):
    """Ties lost."""

    label = "DINO strict"


class AlexNet2V2(_Strict, pretrained.AlexNet2V2):
    """Ties lost."""

    label = "Alex(2) strict (v2)"


class AlexNet5V2(_Strict, pretrained.AlexNet5V2):
    """Ties lost."""

    label = "Alex(5) strict (v2)"


class InceptionV2(_Strict, pretrained.InceptionV2):
    """Ties lost."""

    label = "Incep strict (v2)"


class ClipV2(_Strict, pretrained.ClipV2):
    """Ties lost."""

    label = "CLIP strict (v2)"


class AlexNet2BrainDiffuser(_Strict, brain_diffuser.AlexNet2):
    """Ties lost."""

    label = "Alex(2) strict (Brain-Diffuser)"


class AlexNet5BrainDiffuser(_Strict, brain_diffuser.AlexNet5):
    """Ties lost."""

    label = "Alex(5) strict (Brain-Diffuser)"


class InceptionBrainDiffuser(_Strict, brain_diffuser.Inception):
    """Ties lost."""

    label = "Incep strict (Brain-Diffuser)"


class ClipBrainDiffuser(_Strict, brain_diffuser.Clip):
    """Ties lost."""

    label = "CLIP strict (Brain-Diffuser)"


class AlexNet2Tiny(_Strict, networks.AlexNet2):
    """Ties lost."""

    label = "Alex(2) tiny strict"


class AlexNet5Tiny(_Strict, networks.AlexNet5):
    """Ties lost."""

    label = "Alex(5) tiny strict"


class InceptionTiny(_Strict, networks.Inception):
    """Ties lost."""

    label = "Incep tiny strict"


class ClipTiny(_Strict, networks.Clip):
    """Ties lost."""

    label = "CLIP tiny strict"


class DINOv2Tiny(_Strict, networks.DINOv2):
    """Ties lost."""

    label = "DINO tiny strict"


class Pixel2Way(_Strict, identification.Pixel2Way):
    """Ties lost."""

    label = "2-way (pixels) strict"
