"""Operations, bytes and memory of decoding at full size, and the bound that two cards set.

``python tests/speed/decoding_bounds.py`` writes the table in RESULTS.md to standard output.  All of it is
counted from the graph on the meta device (harness.nn.costs); nothing is measured.  The bound
of a part is the longer of its operations at the card's dense rate for its precision and of its weights, read
once per call, at the card's bandwidth; no kernel reaches it.
"""

from __future__ import annotations

import sys

from harness.decoders.mindeye2 import MindEye2Decoder
from harness.decoders.mindeye2.params import MindEye2Params
from harness.decoders.mindhier import MindHierDecoder
from harness.decoders.mindhier.params import MindHierParams
from harness.nn.costs import CARDS, DecodingCosts


def table(title: str, costs: DecodingCosts) -> list[str]:
    """Markdown lines of one way to decode."""
    lines = [
        f"### {title}",
        "",
        f"| part | weights, GB | work, GB | TFLOP / image | GB read and written / image | "
        f"{' | '.join(f'{card}, s / image' for card in CARDS)} |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in costs.parts:
        bounds = " | ".join(f"{part.seconds(card):.3f}" for card in CARDS)
        work, images = part.work, part.images
        lines.append(
            f"| {part.name} | {part.weights / 1e9:.2f} | {work.working / 1e9:.2f} | "
            f"{work.operations / images / 1e12:.2f} | {work.traffic / images / 1e9:.0f} | {bounds} |"
        )
    totals = " | ".join(f"**{costs.seconds(card):.2f}**" for card in CARDS)
    lines.append(f"| **together** | | | **{costs.operations() / 1e12:.0f}** | | {totals} |")
    peak = costs.peak
    how = "with all that stays there" if peak.held else "one part at a time"
    return [*lines, "", f"Peak, {how}: {peak.memory / 1e9:.1f} GB ({peak.name}).", ""]


def main() -> None:
    """Write the tables."""
    for images, half in ((1, "float16"), (16, "float16"), (1, "float32")):
        params = MindEye2Params(weights="released", captions=True, refine=True, half=half)
        title = f"{images} image{'s' * (images > 1)} at once, half={half}"
        sys.stdout.write("\n".join(table(title, MindEye2Decoder.costs(params, images=images))) + "\n")
    for candidates in (1, 4):
        params = MindHierParams(weights="released", candidates=candidates)
        title = f"MindHier, {candidates} candidate{'s' * (candidates > 1)}"
        sys.stdout.write("\n".join(table(title, MindHierDecoder.costs(params, images=1))) + "\n")


if __name__ == "__main__":
    main()
