"""What a computation takes, decoding part by part, and the bound that a card sets: counted, never measured.

A decoder of full size offers ``costs(params, *, images)``; ``harness plan`` and the top of a run show them
before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

CARDS = {"RTX 4090": (165.2e12, 82.6e12, 1008e9), "H100 SXM": (989.4e12, 66.9e12, 3350e9)}
"""Data sheets: operations per second in float16 with sums in float32, dense; in float32; bytes per second."""


@dataclass(frozen=True)
class Count:
    """What one computation takes.

    operations : of all products.
    traffic : bytes that operators read and write, weights included.
    working : most bytes of tensors alive at once, besides those that were there before.
    """

    operations: int
    traffic: int
    working: int

    def times(self, number: int) -> Count:
        """The same computation `number` times, one after another."""
        return Count(number * self.operations, number * self.traffic, self.working)

    def then(self, other: Count) -> Count:
        """This computation, and `other` after it."""
        most = max(self.working, other.working)
        return Count(self.operations + other.operations, self.traffic + other.traffic, most)


@dataclass(frozen=True)
class PartCount:
    """One part while it decodes `images` images.

    weights : bytes of them on the device.  work : the whole of its calls for these images.  calls : how
    often the weights are read for them.  half : its products are in half precision.  held : bytes of what is
    on the device besides while it works: parts that stay there, and what earlier ones left for it.
    """

    name: str
    images: int
    weights: int
    work: Count
    calls: int
    half: bool = False
    held: int = 0

    @property
    def memory(self) -> int:
        """Bytes on the device while it works."""
        return self.weights + self.work.working + self.held

    @property
    def least_traffic(self) -> int:
        """Bytes that must be read if nothing but weights were, once per call."""
        return self.weights * self.calls

    def seconds(self, card: str) -> float:
        """Least seconds per image on `card`: the longer of all operations and of reading the weights."""
        fast, slow, bandwidth = CARDS[card]
        rate = fast if self.half else slow
        return max(self.work.operations / rate, self.least_traffic / bandwidth) / self.images

    def again(self, times: int) -> PartCount:
        """The same part where it works `times` times for every image."""
        return replace(self, work=self.work.times(times), calls=self.calls * times)


@dataclass(frozen=True)
class DecodingCosts:
    """Of decoding some images at once.

    parts : in the order in which they work, each alone on the device.
    kept : bytes per image that decoding writes: pictures, low-level images and embedding.
    """

    parts: Sequence[PartCount]
    kept: int

    @property
    def peak(self) -> PartCount:
        """The part that needs most memory."""
        return max(self.parts, key=lambda part: part.memory)

    def operations(self) -> float:
        """Per image."""
        return sum(part.work.operations / part.images for part in self.parts)

    def seconds(self, card: str) -> float:
        """Least seconds per image on `card`; no kernel reaches this."""
        return sum(part.seconds(card) for part in self.parts)
