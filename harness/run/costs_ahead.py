"""What decoding will cost, said before anything is loaded: time at best, disk and memory of the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn.costs import CARDS, DecodingCosts
from ..plugins import PluginRef
from .plan import Plan
from .protocols import protocol_named

USUAL = 1000
"""Images of a test set of which nobody said how many of it to use."""


def costs_of(plan: Plan) -> DecodingCosts | None:
    """What decoding takes in micro-batches of the run's size, of decoders that count it."""
    decoder = plan.decoder
    counted: Any = getattr(decoder.load(), "costs", None) if isinstance(decoder, PluginRef) else None
    return None if counted is None else counted(plan.decoder_params, images=plan.settings.micro_batch)


def cost_lines(plan: Plan, decoded_rows: Sequence[str]) -> list[str]:
    """Sentences for people, none where the decoder counts nothing; it decodes `decoded_rows`."""
    costs = costs_of(plan)
    if costs is None:
        return []
    images, rows, batch = plan.settings.limit or USUAL, len(decoded_rows), plan.settings.micro_batch
    kept = costs.kept * images
    times = [(card, images * costs.seconds(card)) for card in CARDS]
    peak, protocol = costs.peak, protocol_named(plan.settings.protocol)
    smaller = protocol is not None and protocol.eight_bit and not plan.settings.pictures
    hint = (
        "; --set run.pictures=uint8 keeps less, and these scores see 8-bit pictures anyway" if smaller else ""
    )
    return [
        f"a row of {images:,} images: at best {_times(times, 1)} (counted, not measured: no kernel reaches "
        f"it), {kept / 1e9:.1f} GB on disk",
        f"the {rows} rows above that are decoded: at best {_times(times, rows)}, {rows * kept / 1e9:.0f} GB; "
        f"--rows leaves some out{hint}",
        f"memory of the device: {peak.memory / 1e9:.1f} GB at the peak ({peak.name}, {batch} images at "
        f"once), {'with all that stays there' if peak.held else 'one part after another'}",
    ]


def _times(times: Sequence[tuple[str, float]], rows: int) -> str:
    return " or ".join(f"{_duration(rows * seconds)} on one {card}" for card, seconds in times)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
