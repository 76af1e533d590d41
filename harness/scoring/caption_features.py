"""Stage embed, for captions: their embedding by a backbone that reads text, once and cached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import plugins
from ..errors import PluginError
from ..stages.features import backbone_identity, open_backbone
from ..storage.identity import module_sha
from ..storage.store import Store, save_array
from ..storage.worker import kept_open


def caption_features(backbone: str, captions: Sequence[str], *, store: Store) -> np.ndarray:
    """(N, D) features of `captions` in the space of the backbone's images.

    Raises
    ------
    PluginError
        The backbone has no ``extract_text``.
    """
    if not hasattr(plugins.find("backbones", backbone).load(), "extract_text"):
        raise PluginError(f"backbone '{backbone}' has no extract_text(captions), which this metric needs")
    ingredients = {
        "backbone": backbone_identity(backbone),
        "captions": list(captions),
        "stage": module_sha(__name__),
    }

    def make(folder: Path) -> None:
        # On the CPU: a text tower is small, and captions are few.
        opened = kept_open(("text", backbone), lambda: open_backbone(backbone, device="cpu"))
        found = opened.extract_text(captions)
        save_array(folder, "features", np.asarray(found, np.float32))

    return np.array(store.get("features", ingredients, make).array("features"))
