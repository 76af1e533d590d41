"""What is in a scene, as a pure function of (namespace, index).

The main category and the background are balanced: every 50 consecutive scenes hold each of the 50
(category, background) cells once, every ten each category once, every five each background once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ..words import Draws

CATEGORIES = ("face", "person", "house", "word", "car", "tree", "fish", "cup", "flower", "boat")
BACKGROUNDS = ("sky", "grass", "sand", "sea", "night")
COLORS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white")
SIZES = ("small", "medium", "large")
TILTS = (-16, -8, 0, 8, 16)
"""Degrees, clockwise."""
VARIANTS = 6
"""Looks of each category: words spell differently, people raise their arms, trees are firs ..."""

_RADII = {"small": (8, 10), "medium": (12, 14), "large": (16, 19)}  # few, so that shapes are reused
_COLUMNS = {1: (32,), 2: (18, 46), 3: (13, 32, 51)}
_ROWS = {1: (22, 42), 2: (20, 46), 3: (18, 48)}
_JITTER = {1: 10, 2: 5, 3: 4}
_CELLS = len(CATEGORIES) * len(BACKGROUNDS)


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    category, color, size : names of :data:`CATEGORIES`, :data:`COLORS`, :data:`SIZES`.
    x, y : centre in pixels from the upper left corner.
    radius : half extent in pixels.
    tilt : degrees, clockwise.  mirrored : left and right exchanged, before tilting.
    variant : look within the category.
    order : depth, 0 is the farthest; nearer objects are drawn over farther ones.
    """

    category: str
    color: str
    size: str
    x: int
    y: int
    radius: int
    tilt: int
    mirrored: bool
    variant: int
    order: int

    @property
    def position(self) -> str:
        """Where it is, in words: ``"on the left"``, ``"at the top"`` ..."""
        across = ("left", "", "right")[(self.x >= 22) + (self.x >= 42)]
        down = ("upper", "", "lower")[(self.y >= 26) + (self.y >= 39)]
        if across:
            return f"on the {down} {across}".replace("  ", " ")
        return {"upper": "at the top", "": "in the centre", "lower": "at the bottom"}[down]

    @property
    def phrase(self) -> str:
        """For example ``"a large red car on the lower left"``."""
        return f"a {self.size} {self.color} {self.category} {self.position}"


@dataclass(frozen=True)
class Scene:
    """The content of one image; the first of `objects` is the main one."""

    namespace: str
    index: int
    objects: tuple[SceneObject, ...]
    background: str

    @property
    def category(self) -> str:
        """Category of the main object."""
        return self.objects[0].category

    @property
    def caption(self) -> str:
        """One sentence part that names every object, colour, size and place, and the background."""
        *first, last = [item.phrase for item in self.objects]
        listed = f"{', '.join(first)} and {last}" if first else last
        return f"{listed} in a {self.background} scene"


def describe(namespace: str, indices: Iterable[int]) -> list[Scene]:
    """The scenes `indices` of `namespace`; no scene depends on another one."""
    return [_describe(namespace, int(index)) for index in indices]


def _describe(namespace: str, index: int) -> Scene:
    category, background = _cells(namespace, index // _CELLS)[index % _CELLS]
    draws = Draws(namespace, index, count=96)
    count = draws.choose((1, 2, 3), (35, 40, 25))
    others = draws.shuffled([name for name in CATEGORIES if name != category])[: count - 1]
    columns = draws.shuffled(_COLUMNS[count])
    main_size = draws.choose(SIZES, (10, 40, 50) if count < 3 else (10, 50, 40))
    placed = []
    for number, (name, column) in enumerate(zip((category, *others), columns)):
        # No object is larger than the main one, so that none can hide it.
        fitting = SIZES[: SIZES.index(main_size) + 1]
        size = draws.choose(fitting, (50, 40, 10)[: len(fitting)]) if number else main_size
        radius = draws.choose(_RADII[size])
        margin = 3 * radius // 4
        x = column + draws.between(-_JITTER[count], _JITTER[count])
        y = draws.between(*_ROWS[count])
        placed.append(
            {
                "category": name,
                "color": draws.choose(COLORS),
                "size": size,
                "x": min(max(x, margin), 63 - margin),
                "y": min(max(y, margin), 63 - margin),
                "radius": radius,
                "tilt": draws.choose(TILTS),
                "mirrored": bool(draws.below(2)),
                "variant": draws.below(VARIANTS),
            }
        )
    # What stands lower in the picture is nearer, as on a ground plane.
    depth = sorted(range(count), key=lambda k: (placed[k]["y"], k))
    objects = tuple(SceneObject(**item, order=depth.index(k)) for k, item in enumerate(placed))
    return Scene(namespace, index, objects, background)


@lru_cache(maxsize=1024)
def _cells(namespace: str, block: int) -> tuple[tuple[str, str], ...]:
    """The (category, background) cells of 50 scenes: a Latin arrangement in random order.

    Categories are dealt into five pairs; in row r of ten scenes pair p meets background p + r, and
    each half row holds one of every pair.
    """
    draws = Draws(namespace, block, stream=1, count=128)
    dealt = draws.shuffled(CATEGORIES)
    backgrounds = draws.shuffled(BACKGROUNDS)
    cells = []
    for row in range(5):
        swaps = [draws.below(2) for _ in range(5)]
        for half in range(2):
            for pair in draws.shuffled(range(5)):
                category = dealt[2 * pair + (half ^ swaps[pair])]
                cells.append((category, backgrounds[(pair + row) % 5]))
    return tuple(cells)
