"""MindEye2: shared-subject fMRI-to-image decoding (Scotti et al. 2024, arXiv:2403.11207).

A ridge layer per subject maps voxels to a shared space; a backbone predicts the image tokens of
OpenCLIP ViT-bigG/14, a retrieval head and a blurry latent image; a diffusion prior cleans the
tokens up; an SDXL-sized unCLIP network draws the picture.  Modules, keys and constants are those of
the public code (github.com/MedARC-AI/MindEyeV2), so that its weights load with ``strict=True``.
"""

from .decoder import MindEye2Decoder

__all__ = ["MindEye2Decoder"]
