"""Sizes of GNet (sources in :mod:`.gnet`), apart from its layers, which need torch."""

SIDE = 227
FIELDS = (25, 13)
"""Positions along one side of the two sets of maps, which follow from :data:`SIDE`."""

MAPS = 256
"""Maps of each set."""

TRUNK, PASS = 64, 192
"""Channels of a block that are read out, and those that only go on to the next block."""

DROPOUT = 0.5
"""Share of maps that are left out before each convolution in training."""

VOXELS_AT_ONCE = 1024
"""Voxels that are read out together: 16 images of them pooled from 512 maps are 32 MB."""
