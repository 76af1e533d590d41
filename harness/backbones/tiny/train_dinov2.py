"""Train ``dinov2@tiny`` without labels on scenes of namespace ``tiny-dinov2``."""

from __future__ import annotations

from .networks.dinov2 import WIDTH, SelfTransformer
from .train_loop import Settings, main
from .train_selfsupervised import VICRegTask

SETTINGS = Settings("dinov2", "tiny-dinov2", seed=67, scenes=20_000, steps=420, batch=160, rate=1.5e-3)


def build() -> VICRegTask:
    """The network with its expander."""
    return VICRegTask(SelfTransformer(), WIDTH, 512, layer="cls")


if __name__ == "__main__":
    main(SETTINGS, build)
