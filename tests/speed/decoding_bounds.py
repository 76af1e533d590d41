"""Operations, bytes and memory of MindEye2's decoding at full size, and the bound that two cards set.

``python tests/speed/decoding_bounds.py`` writes the table in RESULTS.md to standard output.  All of it is
counted from the graph on the meta device (harness.decoders.mindeye2.counts); nothing is measured.  The bound
of a part is the longer of its operations at the card's dense rate for its precision and of its weights, read
once per call, at the card's bandwidth; no kernel reaches it.
"""

from __future__ import annotations

import sys

from harness.decoders.mindeye2 import counts
from harness.decoders.mindeye2.params import MindEye2Params

CARDS = {"RTX 4090": (165.2e12, 82.6e12, 1008e9), "H100 SXM": (989.4e12, 66.9e12, 3350e9)}
"""Data sheets: operations per second in float16 with sums in float32, dense; in float32; bytes per second."""

IN_FLOAT32 = ("VAE", "text towers", "captioner")


def seconds(part: counts.PartCount, card: str, *, half: bool = True) -> float:
    """Least seconds per image of one part on `card`."""
    fast, slow, bandwidth = CARDS[card]
    rate = fast if half and not part.name.startswith(IN_FLOAT32) else slow
    return max(part.work.operations / rate, part.least_traffic / bandwidth) / part.images


def table(images: int, half: str) -> list[str]:
    """Markdown lines for `images` at once."""
    params = MindEye2Params(weights="released", captions=True, refine=True, half=half)
    parts = counts.decoding(params, images=images)
    lines = [
        f"### {images} image{'s' * (images > 1)} at once, half={half}",
        "",
        f"| part | weights, GB | work, GB | TFLOP / image | GB read and written / image | "
        f"{' | '.join(f'{card}, s / image' for card in CARDS)} |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in parts:
        bounds = " | ".join(f"{seconds(part, card, half=half != 'float32'):.3f}" for card in CARDS)
        work = part.work
        lines.append(
            f"| {part.name} | {part.weights / 1e9:.2f} | {work.working / 1e9:.2f} | "
            f"{work.operations / images / 1e12:.2f} | {work.traffic / images / 1e9:.0f} | {bounds} |"
        )
    totals = [sum(seconds(part, card, half=half != "float32") for part in parts) for card in CARDS]
    total = sum(part.work.operations for part in parts) / images / 1e12
    most = counts.peak(parts)
    lines.append(f"| **together** | | | **{total:.0f}** | | {' | '.join(f'**{t:.2f}**' for t in totals)} |")
    return [*lines, "", f"Peak, one part at a time: {most.memory / 1e9:.1f} GB ({most.name}).", ""]


def main() -> None:
    """Write the tables."""
    for images, half in ((1, "float16"), (16, "float16"), (1, "float32")):
        sys.stdout.write("\n".join(table(images, half)) + "\n")


if __name__ == "__main__":
    main()
