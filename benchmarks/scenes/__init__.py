"""Procedurally drawn scenes: 64 x 64 images with known content, byte-identical on every machine.

A namespace is any name: ``train``, ``test``, ``reference``, or a name of one's own.  Networks that score
or condition reconstructions are trained on scenes of other namespaces than those of the benchmark.
"""

from .description import BACKGROUNDS, CATEGORIES, COLORS, SIZES, Scene, SceneObject, describe
from .drawing import SIDE, draw, draw_scene

__all__ = [
    "BACKGROUNDS",
    "CATEGORIES",
    "COLORS",
    "SIDE",
    "SIZES",
    "Scene",
    "SceneObject",
    "describe",
    "draw",
    "draw_scene",
]
