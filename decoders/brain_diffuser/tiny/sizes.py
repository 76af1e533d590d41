"""Sizes of the small VDVAE."""

from __future__ import annotations

from ..vdvae import VdvaeSettings

VDVAE = VdvaeSettings(
    side=32, width=48, bottleneck=0.5, zdim=4, mixtures=5, bias_up_to=32,
    encoder="32x1,32d2,16x2,16d2,8x2,8d2,4x2,4d4,1x1",
    decoder="1x1,4m1,4x1,8m4,8x2,16m8,16x2,32m16,32x1",
)  # fmt: skip
BLOCKS = 9
"""Blocks whose latents are predicted from fMRI: those up to 16 x 16 pixels, 3,972 numbers."""
