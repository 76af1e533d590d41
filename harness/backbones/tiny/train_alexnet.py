"""Train ``alexnet@tiny`` on attributes of scenes of namespace ``tiny-alexnet``."""

from __future__ import annotations

from .networks.alexnet import UNITS, SmallAlexNet
from .train_attributes import AttributeTask
from .train_loop import Settings, main

SETTINGS = Settings("alexnet", "tiny-alexnet", seed=23, scenes=16_000, steps=600, decay=0.05)


def build() -> AttributeTask:
    """The network with its heads."""
    return AttributeTask(SmallAlexNet(), UNITS, layer="fc6", degrade=0.4)


if __name__ == "__main__":
    main(SETTINGS, build)
