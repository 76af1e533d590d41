"""Stage embed, for captions: their embedding by a backbone that reads text, once and cached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import plugins
from ..errors import PluginError
from ..stages.extraction import embed_captions
from ..stages.features import backbone_identity
from ..storage.cached import cached
from ..storage.executors import Executor
from ..storage.store import Store


def caption_features(
    backbone: str, captions: Sequence[str], *, store: Store, executor: Executor
) -> np.ndarray:
    """(N, D) features of `captions` in the space of the backbone's images.

    Raises
    ------
    PluginError
        The backbone has no ``extract_text``.
    """
    if not hasattr(plugins.find("backbones", backbone).load(), "extract_text"):
        raise PluginError(f"backbone '{backbone}' has no extract_text(captions), which this metric needs")
    artifact = cached(
        "features",
        embed_captions,
        *(backbone, tuple(captions)),
        depends_on={**backbone_identity(backbone), "captions": list(captions)},
        store=store,
        executor=executor,
    )
    return np.array(artifact.array("features"))
