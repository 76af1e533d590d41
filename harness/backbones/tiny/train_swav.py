"""Train ``swav@tiny`` without labels on scenes of namespace ``tiny-swav``."""

from __future__ import annotations

from .networks.swav import UNITS, SmallResNet
from .train_loop import Settings, main
from .train_selfsupervised import SwAVTask

SETTINGS = Settings("swav", "tiny-swav", seed=79, scenes=20_000, steps=260, batch=160)


def build() -> SwAVTask:
    """The network with its projection and prototypes."""
    return SwAVTask(SmallResNet(), UNITS, 64, layer="avgpool", prototypes=80)


if __name__ == "__main__":
    main(SETTINGS, build)
