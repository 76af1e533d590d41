"""NeuroFlow (Mai et al., CVPR 2026) as an encoder: a flow carries image tokens to the latent of a
response, whose compact code is decoded to voxels.

Faithful: both networks, losses, the cosine path and the Euler steps (equal to vectors of the authors'
modules; code Apache-2.0).
Chosen: DINOv2's patches in place of OpenCLIP ViT-bigG's tokens, which no backbone gives yet; decay on
matrices alone.  Trained on the subject's own responses.  The same flow runs backward from responses to
image tokens (:meth:`.encoder.NeuroFlowEncoder.image_tokens`); the decoder of the same name draws pictures
from them.
"""

from .encoder import NeuroFlowEncoder

__all__ = ["NeuroFlowEncoder"]
