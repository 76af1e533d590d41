"""CHASMBrain: images -> cluster responses -> voxels, with two streams of Mamba-2 (arXiv 2606.04772).

Faithful: clusters of 30 voxels and their top 70 %, the two streams (one token of CLS, patches in raster
order) and their gate, the two decoders of Stage 2 with the variational latent, all ablations of Tables 1
to 4 by name; Mamba-2 is equal to vectors of the original layer.
Inferred: widths and depths, so that Stage 1 has the published numbers and products.
Chosen: learning rates, weights of losses and what else the public text has lost; position codes of SD 1 at
the start.  Trained on the subject's own responses; code of its authors was not found.
Fitted on simulated cortex, the visual token, the latent and the holistic decoder cost nothing when another
image's are taken: the residual decoder carries the model (``docs/chasm.md``).  They stay, since the paper
has them.
"""

from .encoder import ChasmEncoder

__all__ = ["ChasmEncoder"]
