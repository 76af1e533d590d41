"""The universal brain encoder (Beliy, Wasserman, Zalcher & Irani 2024, arXiv 2406.12179): every voxel of
every subject has an embedding, which asks the image where and in which layers to look.

Published and kept: the widths, layers spread over the depth of DINOv2, dropout, voxels drawn for each
batch, the loss, 30 epochs, and transfer by new embeddings alone. Inferred: how embedding, attention over
places and over layers are put together; no vectors exist to compare with.
Chosen: AdamW and a cosine in place of Adam with amsgrad and a plateau; ViT-B/14 without registers in
place of ViT-L/14 with them; its low-rank adapters inside the backbone and its image shifts are left out,
since features are extracted once.  Trained on the subjects' own responses; none of the authors' code is
here.
"""

from .encoder import UniversalEncoder

__all__ = ["UniversalEncoder"]
