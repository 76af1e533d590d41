"""MindBridge (Wang et al. 2024, arXiv:2404.07850): one network for subjects of any number of voxels.

The public code states no licence; this is written anew from the paper's facts and the shapes of its files.
"""

from .decoder import MindBridgeDecoder

__all__ = ["MindBridgeDecoder"]
