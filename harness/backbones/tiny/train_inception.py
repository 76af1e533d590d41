"""Train ``inception@tiny`` on attributes of scenes of namespace ``tiny-inception``."""

from __future__ import annotations

from .networks.inception import UNITS, SmallInception
from .train_attributes import AttributeTask
from .train_loop import Settings, main

SETTINGS = Settings("inception", "tiny-inception", seed=37, scenes=16_000, steps=450, rate=3e-3)


def build() -> AttributeTask:
    """The network with its heads."""
    return AttributeTask(SmallInception(), UNITS, layer="avgpool", degrade=0.4)


if __name__ == "__main__":
    main(SETTINGS, build)
