"""Encoders that others fitted and published: adapters, which fit nothing and bring their own voxel space.

==============  ==========================================================================================
``img2fmri``    ResNet-18 to regions of three BOLD5000 subjects, ridge (Bennett & Baldassano; MIT)
``berg``        models of the Brain Encoding Response Generator (Gifford et al. 2025; CC BY-NC 4.0)
``mosaic``      brain-optimised networks of MOSAIC (Lahner et al. 2025)
==============  ==========================================================================================

A model says in a line what of its package, weights or licence is missing.  ``harness predict NAME:VALUE
images/`` writes its predictions; in a run it predicts its own voxels and refuses any other.
"""

from .berg import BergEncoder
from .img2fmri import Img2fmriEncoder
from .mosaic import MosaicEncoder

__all__ = ["BergEncoder", "Img2fmriEncoder", "MosaicEncoder"]
