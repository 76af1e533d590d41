"""Texts through a backbone that reads them, once and cached: captions of images, or words of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import plugins
from ..errors import PluginError
from ..storage.cached import cached
from ..storage.executors import Executor
from ..storage.store import Store
from .extraction import embed_captions
from .features import backbone_identity


def text_features(backbone: str, texts: Sequence[str], *, store: Store, executor: Executor) -> np.ndarray:
    """(N, D) float32 of `texts`, in the space of the backbone's images where it has any.

    Raises
    ------
    PluginError
        The backbone has no ``extract_text``.
    """
    if not hasattr(plugins.find("backbones", backbone).load(), "extract_text"):
        raise PluginError(f"backbone '{backbone}' has no extract_text(captions), which is asked for here")
    artifact = cached(
        "features",
        embed_captions,
        *(backbone, tuple(texts)),
        depends_on={**backbone_identity(backbone), "captions": list(texts)},
        store=store,
        executor=executor,
    )
    return np.array(artifact.array("features"))
