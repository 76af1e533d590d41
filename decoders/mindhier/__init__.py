"""MindHier: scale-wise autoregressive fMRI-to-image decoding, from coarse meaning to fine detail.

A hierarchical encoder maps voxels to levels of an image network's tokens, aligned with its layers; Switti's
scale-wise transformer draws a picture's code maps from the smallest to the largest, each guided by the level
that suits it.  Where the released code does other than the paper says, the modules tell.
"""

from .decoder import MindHierDecoder

__all__ = ["MindHierDecoder"]
