"""BraInCoRL (Yu et al., NeurIPS 2025, arXiv 2505.15813): a transformer that infers a voxel's weights from the
voxel's responses to some images, without training on the subject.

Faithful: the network, its sizes and its training loss (equal to vectors of the authors' module; code
Apache-2.0), and an epoch, which is a pass over voxels.
Chosen: contexts and queries are parts of one batch of images that all voxels of the batch share; a fixed
learning rate in place of a plateau; single precision.  Not here: their first training on made-up voxels,
whose making the released code does not hold.  The weights of fitted subjects come from a context
of theirs too. Trained on the responses of the subjects of the fit; the authors' weights are for other
embeddings' sizes too.
"""

from .encoder import BraincorlEncoder

__all__ = ["BraincorlEncoder"]
