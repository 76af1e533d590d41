"""What a picture is drawn from, and how; no network is imported to say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.api import ConfigError

if TYPE_CHECKING:
    import torch

TRAIN_STEPS = 1000
"""Steps that the generators were trained with."""


class Conditions(NamedTuple):
    """What a picture is drawn from; either may be None."""

    image: torch.Tensor | None = None  # (B, n, d)
    words: torch.Tensor | None = None  # (B, m, d)

    def joined(self, other: Conditions) -> Conditions:
        """Those of both, one after the other along the batch."""
        import torch

        return Conditions(*(None if a is None else torch.cat([a, b]) for a, b in zip(self, other)))

    def to(self, like: torch.Tensor) -> Conditions:
        """On the device and of the type of `like`."""
        return Conditions(*(None if part is None else part.to(like) for part in self))


@dataclass(frozen=True)
class Drawing:
    """How pictures are drawn.

    sampler : ``ddim`` (eta 0) or ``unipc``.
    steps, guidance : of the sampler and of classifier-free guidance.
    strength : with a first image, the share of steps that are done; 1 starts from noise alone.
    words : share of the words where there is an image too.
    """

    sampler: Literal["ddim", "unipc"] = "ddim"
    steps: int = 50
    guidance: float = 7.5
    strength: float = 1.0
    words: float = 0.5

    def __post_init__(self) -> None:
        if self.sampler not in ("ddim", "unipc"):
            raise ConfigError(f"decoder.sampler is {self.sampler!r}; choose ddim or unipc")
        if not 2 <= self.steps < TRAIN_STEPS:
            raise ConfigError(f"decoder.steps is {self.steps}; expected 2 to {TRAIN_STEPS - 1}")
        if not 0 < self.strength <= 1:
            raise ConfigError(f"decoder.strength is {self.strength}; expected above 0 to 1")
        if not 0 <= self.words <= 1:
            raise ConfigError(f"decoder.words is {self.words}; expected a share, 0 to 1")

    @property
    def done(self) -> int:
        """Steps that are done with a first image."""
        return max(1, int(self.steps * self.strength + 1e-9))
