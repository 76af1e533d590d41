"""The sentence that is best for all images of a half: what makes that control of captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..metrics.coco_captions import best_constant
from ..storage.content import save_json


def write_best_sentences(folder: Path, halves: Sequence[Sequence[Sequence[str]]]) -> None:
    """Write, for each half of images with their references, the best of its sentences for all of them."""
    chosen = [best_constant([text for of in half for text in of], half) for half in halves]
    save_json(folder, "sentences", chosen)
