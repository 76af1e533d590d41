"""The small networks by name, and the logs of their training."""

from __future__ import annotations

import json

from harness.backbones.tiny.backbone import FOLDER

NAMES = ("scenes", "bigg", "alexnet", "inception", "efficientnet", "clip", "dinov2", "swav")


def log_of(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())
