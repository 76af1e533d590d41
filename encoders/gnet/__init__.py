"""GNet8 as an encoder that is fitted (St-Yves, Allen, Wu, Kay & Naselaris 2023; MindEye2's copy of its
code): maps of a network trained on the responses, and for each voxel a pooling field and weights.

Faithful: trunk, read-out and loss (equal to vectors of MindEye2's module, MIT).
Chosen: AlexNet's first two layers start at random and are trained, where the authors freeze pretrained
ones; trunk and read-out take one step together, where theirs take turns; pixels of a 64 x 64 image,
enlarged.  Trained on the subjects' own responses.  The published fit of all NSD subjects is the backbone
``gnet``.
"""

from .encoder import GNetEncoder

__all__ = ["GNetEncoder"]
