"""Reading MindBridge's published files, without running anything in them, and keeping fitted networks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from harness.api import DataError
from harness.decoders.files import check_exactly, loaded
from harness.decoders.mindeye2.checkpoints import read_weights

from .network import MindBridgeNetwork, NetworkSettings

OF_SUBJECTS = ("embedder.", "builder.")


def published(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor of ``last.pth``."""
    return {name.removeprefix("module."): value for name, value in read_weights(path).items()}


def of_subject(
    weights: Mapping[str, torch.Tensor], number: int, settings: NetworkSettings
) -> MindBridgeNetwork:
    """The network of one subject in a bridge of several; the others' parts are left out."""
    numbers = sorted({int(name.split(".")[1]) for name in weights if name.startswith("embedder.")})
    if number not in numbers:
        listed = ", ".join(map(str, numbers)) or "none: it is no MindBridge"
        raise DataError(
            f"the checkpoint of mindbridge has no subject {number}; it has {listed}: --set "
            "decoder.number=NUMBER, or leave it out to fit a new subject"
        )
    own = {
        name: value
        for name, value in weights.items()
        if not name.startswith(OF_SUBJECTS) or name.split(".")[1] == str(number)
    }
    build = partial(MindBridgeNetwork, [number], settings)
    return loaded(build, own, what="mindbridge").requires_grad_(False)


def take_bridge(network: MindBridgeNetwork, weights: Mapping[str, torch.Tensor]) -> None:
    """Put the shared part of `weights` into `network`; its subjects keep their own parts."""
    shared = {name: value for name, value in weights.items() if not name.startswith(OF_SUBJECTS)}
    own = {name: value for name, value in network.state_dict().items() if name.startswith(OF_SUBJECTS)}
    check_exactly(network, {**own, **shared}, what="the bridge of mindbridge")
    network.load_state_dict({**own, **{name: value.float() for name, value in shared.items()}})
