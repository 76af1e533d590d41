"""SynBrain (Mai et al., NeurIPS 2025, arXiv 2508.10298): a variational autoencoder of responses, and a
one-step map from image tokens to its latent.

Faithful: both networks, their losses, sizes and training (equal to vectors of the authors' modules; code
MIT).
Chosen: voxels are standardised with training statistics and brought to the SD of the authors' units
(betas / 2000, which they neither centre nor scale); a fixed number of epochs in place of a threshold on
the training loss; decay on matrices alone; a transfer (the whole autoencoder and the map's MLPs, as there)
for as many epochs as a fit.  The paper's tokens are OpenCLIP ViT-bigG's, which is no backbone here yet:
DINOv2's patches, one of its ablations, stand for them.  Trained on the subjects' own responses.
"""

from .encoder import SynBrainEncoder

__all__ = ["SynBrainEncoder"]
