"""NRF, a neural response field (ICLR 2026, haomiao8/NRF): the response is a function of the image and of a
place in a brain that all subjects share.

Faithful: both networks, the Fourier features, the loss and the training (equal to vectors of the authors'
modules; code Apache-2.0).  Chosen: voxels are drawn once for each batch in place of each image; up to 30
epochs with patience on held-out training images, where the released configuration has one and stops by
test images; DINOv2's blocks in place of CLIP ViT-B/16's.  Not here: the ensemble of other subjects'
fields for a new one.  Trained on the subjects' own responses.
"""

from .encoder import NrfEncoder

__all__ = ["NrfEncoder"]
