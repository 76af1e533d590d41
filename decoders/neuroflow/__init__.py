"""NeuroFlow (Mai et al., CVPR 2026) as a decoder: the flow of the encoder of that name, from responses back.

A response is encoded to latent tokens, the flow carries them from time 1 to image tokens at time 0, and
unCLIP draws these.  Faithful: both networks, losses, the cosine path and the Euler steps
(:mod:`harness.nn.flow_vae`, :mod:`harness.nn.sit`, equal to vectors of the authors' modules; Apache-2.0).
Chosen: MindEye2's embedder and generator, with seeded noise, in place of the authors' unseeded unCLIP; the
.35 of MindEye2's low-level image that their evaluation mixes in is left out.  Trained on the subject's own
responses.
"""

from .decoder import NeuroFlowDecoder

__all__ = ["NeuroFlowDecoder"]
