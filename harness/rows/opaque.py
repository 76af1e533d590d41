"""Names of test images that say nothing, for plugins of benchmarks whose ids say too much.

A generated image may be drawn again from its id, and the truth of its responses with it.  Plugins then get
other names; seeds are still those of the true ids, so that no number changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..data import Responses, Stimuli


@dataclass(frozen=True)
class OpaqueNames:
    """Ids -> names that hang on `salt`, the content of all test images; the ids themselves without one."""

    salt: str = ""

    @classmethod
    def of(cls, benchmark: Any, test: Stimuli) -> OpaqueNames:
        """Those that `benchmark` asks for with ``opaque_ids = True``."""
        return cls(test.sha if getattr(benchmark, "opaque_ids", False) else "")

    def __call__(self, ids: Sequence[str]) -> tuple[str, ...]:
        if not self.salt:
            return tuple(ids)
        digests = (hashlib.sha256(f"{self.salt}|{name}".encode()).hexdigest() for name in ids)
        return tuple(f"image-{digest[:16]}" for digest in digests)

    def stimuli(self, stimuli: Stimuli) -> Stimuli:
        """The same images under their opaque names."""
        return stimuli.renamed(self(stimuli.ids)) if self.salt else stimuli

    def responses(self, responses: Responses) -> Responses:
        """The same trials under the opaque names of their images."""
        return responses.renamed(self(responses.ids)) if self.salt else responses


TRUE_IDS = OpaqueNames()
"""Hides nothing."""
