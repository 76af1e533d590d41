"""Takagi and Nishimoto (CVPR 2023, doi:10.1109/CVPR52729.2023.01389): linear regression to Stable Diffusion.

The public code (yu-takagi/StableDiffusionReconstruction) is MIT; nothing of it is here.  Weights of Stable
Diffusion 1.4 are under CreativeML OpenRAIL-M.
"""

from .decoder import TakagiDecoder

__all__ = ["TakagiDecoder"]
