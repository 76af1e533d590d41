"""Brain-Diffuser (Ozcelik and VanRullen 2023, arXiv:2303.05334): to VDVAE and Versatile Diffusion.

The public code (ozcelikfu/brain-diffuser, with its copy of openai/vdvae) is MIT; nothing of it is here.
"""

from .decoder import BrainDiffuserDecoder, TransductiveBrainDiffuser

__all__ = ["BrainDiffuserDecoder", "TransductiveBrainDiffuser"]
