"""Train ``scenes@tiny`` on all attributes of scenes of namespace ``tiny-scenes``."""

from __future__ import annotations

from .networks.scenes import WIDTH, SceneTransformer
from .train_attributes import AttributeTask
from .train_loop import Settings, main

SETTINGS = Settings("scenes", "tiny-scenes", seed=11, scenes=40_000, steps=1500, rate=1.5e-3, warmup=100)


def build() -> AttributeTask:
    """The network with its heads."""
    return AttributeTask(SceneTransformer(), WIDTH, layer="cls", local="patches")


if __name__ == "__main__":
    main(SETTINGS, build)
