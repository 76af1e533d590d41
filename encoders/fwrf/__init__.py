"""Feature-weighted receptive fields (St-Yves & Naselaris 2018): one Gaussian field for each voxel,
through which it sees all feature maps of a network; field, penalty and weights are searched together.

Faithful: grid, pooling, search and predictions (equal to vectors of the authors' functions; written from the
formulas, their code states no licence and none is here).
Chosen: the maps of DINOv2's blocks in place of AlexNet's layers; images are shuffled by the seed before
the last are held out.  Trained on the subject's own responses.
"""

from .encoder import FwrfEncoder

__all__ = ["FwrfEncoder"]
