"""Train ``efficientnet@tiny`` on attributes of scenes of namespace ``tiny-efficientnet``."""

from __future__ import annotations

from .networks.efficientnet import UNITS, SmallEfficientNet
from .train_attributes import AttributeTask
from .train_loop import Settings, main

SETTINGS = Settings(
    "efficientnet", "tiny-efficientnet", seed=41, scenes=16_000, steps=400, rate=3e-3, bfloat16=False
)


def build() -> AttributeTask:
    """The network with its heads."""
    return AttributeTask(SmallEfficientNet(), UNITS, layer="avgpool", degrade=0.4)


if __name__ == "__main__":
    main(SETTINGS, build)
