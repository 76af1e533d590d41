"""Images and captions through a backbone: what makes an artifact of features.

What does not fit into memory is halved until it does.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PluginError
from ..plugins import find
from ..storage.content import save_array
from ..storage.references import Reference
from ..storage.worker import kept_open

logger = logging.getLogger(__name__)

BATCH = 64
"""Images per extraction call; part of every key, since a batch size can change the last bits."""


def extract_batch(folders: Mapping[str, Path], backbone: str, device: str, images: Reference) -> None:
    """Extract the layers that `folders` are called by from one batch of images (n, H, W, 3)."""
    layers = extract_in_memory(backbone, np.asarray(images.load()), list(folders), device=device)
    half = getattr(_opened(backbone, device)[0], "half", ())
    for layer, folder in folders.items():
        values = np.asarray(layers[layer], np.float32)
        save_array(folder, "features", halved(values, backbone, layer) if layer in half else values)


def halved(values: np.ndarray, backbone: str, layer: str) -> np.ndarray:
    """`values` as float16; PluginError for one that has no room there."""
    with np.errstate(over="ignore"):
        small = values.astype(np.float16)
    if np.isinf(small).any() and not np.isinf(values).any():
        raise PluginError(
            f"layer '{layer}' of backbone '{backbone}' reaches {np.abs(values).max():.3g}, and float16, as "
            f"which its 'half' keeps it, ends at 65,504; take the layer out of 'half'"
        )
    return small


def embed_captions(folder: Path, backbone: str, captions: Sequence[str]) -> None:
    """Features (N, D) of `captions`, on the CPU: a text tower is small, and captions are few."""
    opened = kept_open(("text", backbone), lambda: open_backbone(backbone, device="cpu"))
    save_array(folder, "features", np.asarray(opened.extract_text(captions), np.float32))


def extract_in_memory(
    name: str, images: np.ndarray, layers: Sequence[str], *, device: str
) -> dict[str, np.ndarray]:
    """Images (n, H, W, 3) -> layer -> (n, ...), halved as often as the memory of `device` asks for.

    What fits is remembered for as long as the backbone is open.  Fewer images at a time may change the
    last bits of features, which is why it is said.

    Raises
    ------
    PluginError
        Not even one image fits.
    """
    backbone, held = _opened(name, device)
    while True:
        size = held["images"]
        try:
            parts = [
                backbone.extract(images[start : start + size], layers)
                for start in range(0, max(len(images), 1), size)
            ]
            if len(parts) == 1:  # gigabytes that need no copy
                return {layer: parts[0][layer] for layer in layers}
            return {layer: np.concatenate([part[layer] for part in parts]) for layer in layers}
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            reason = " ".join(str(problem).split())[:200]
        # Out here the failed call has let go of its memory.
        tried = min(size, len(images))
        if tried <= 1:
            raise PluginError(
                f"backbone '{name}' does not fit into the memory of {device} with a single image ({reason}). "
                "Close what else uses it, or give another --device"
            )
        held["images"] = tried // 2
        logger.warning(
            "backbone '%s': %d images at once do not fit into the memory of %s, going on with %d; the last "
            "digits of features may differ from those of a larger machine",
            *(name, tried, device, held["images"]),
        )
        if device.startswith("cuda"):
            sys.modules["torch"].cuda.empty_cache()


def is_out_of_memory(problem: Exception) -> bool:
    """Whether Python, or torch on any device, said that memory ran out."""
    torch: Any = sys.modules.get("torch")
    if isinstance(problem, MemoryError) or (torch and isinstance(problem, torch.OutOfMemoryError)):
        return True
    # torch has no class of its own for a CPU that has no more to give.
    return isinstance(problem, RuntimeError) and "can't allocate memory" in str(problem)


def _opened(name: str, device: str) -> tuple[Any, dict[str, int]]:
    """The backbone, which stays open in this process, and how many images at a time it had memory for."""
    return kept_open(
        ("backbone", name, device), lambda: (open_backbone(name, device=device), {"images": BATCH})
    )


def open_backbone(name: str, *, device: str) -> Any:
    """The backbone called `name`, ready on `device`."""
    backbone = find("backbones", name).load()()
    backbone.open(device=device)
    return backbone
