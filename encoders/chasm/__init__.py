"""CHASMBrain: images -> cluster responses -> voxels, with two streams of Mamba-2 (arXiv 2606.04772)."""

from .encoder import ChasmEncoder

__all__ = ["ChasmEncoder"]
