"""MindEye1 (Scotti et al. 2023, arXiv:2305.18274): contrast, a diffusion prior, Versatile Diffusion.

The public code (MedARC-AI/fMRI-reconstruction-NSD) is MIT; nothing of it is here.
"""

from .decoder import MindEye1Decoder

__all__ = ["MindEye1Decoder"]
