"""MindSimulator (Bao et al., ICLR 2025, arXiv 2503.02351): an autoencoder of responses, whose latents are
drawn by diffusion under the image's tokens; several draws are decoded and averaged.

Faithful: both networks, losses, schedules and the sampler (equal to vectors of the authors' modules; code
MIT).
Chosen: noise is drawn for each image by its own seed; the autoencoder's dropout rests while it gives
targets, which the authors forgot; correlated noise over trials and a resting-state start, which the paper
has and the code has not, are left out.  The paper's tokens are CLIP ViT-L/14's; DINOv2's patches stand
for them here, since no backbone gives those yet.  Trained on the subject's own responses.
"""

from .encoder import MindSimulatorEncoder

__all__ = ["MindSimulatorEncoder"]
