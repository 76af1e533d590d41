"""Transformer brain encoder (Adeli, Minni & Kriegeskorte 2025, arXiv 2505.17329): regions ask image tokens.

Faithful: the network and its loss (equal to vectors of the authors' module), sizes and training of the
preset ``paper``.  Chosen: parts of our own voxel order in place of hemispheres, the best epoch by squared
error in place of correlation, tokens after the last norm in place of one block's queries, and a whole
image of 224 pixels.
Not here: their ensemble over layers of the backbone.  Trained on the subject's own responses; the authors'
code is under GPL-3.0 and none of it is here.
"""

from .encoder import BrainTransformerEncoder

__all__ = ["BrainTransformerEncoder"]
