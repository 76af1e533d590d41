"""What a caption is worth that looks at no brain: one sentence for all, and another person's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..storage.cached import cached
from ..storage.executors import Executor
from ..storage.store import Store
from .best_sentences import write_best_sentences

References = Mapping[str, Sequence[str]]
"""Id -> the texts that an image came with."""


def constant_captions(references: References, *, store: Store, executor: Executor) -> dict[str, str]:
    """Id -> the sentence that is the best for all images of the other half.

    The images are cut in the middle of the order of their ids, numbers by value.  For each half one sentence
    is chosen, of all references of the other half, by its mean ROUGE-L with the references of that half; so
    no image has a part in choosing what it is given.  Empty where a half would be.
    """
    ids = sorted(references, key=_natural)
    halves = ids[: len(ids) // 2], ids[len(ids) // 2 :]
    if not halves[0]:
        return {}
    texts = [[list(references[name]) for name in half] for half in halves]

    kept = cached(
        "controls",
        write_best_sentences,
        texts,
        depends_on={"what": "constant-caption", "texts": texts},
        store=store,
        executor=executor,
    )
    of_first, of_second = kept.json("sentences")
    return dict.fromkeys(halves[0], of_second) | dict.fromkeys(halves[1], of_first)


def human_captions(references: References) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Id -> one of its references, and id -> the others, for images with two or more."""
    several = {name: tuple(texts) for name, texts in references.items() if len(texts) > 1}
    return (
        {name: texts[0] for name, texts in several.items()},
        {name: texts[1:] for name, texts in several.items()},
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Key that puts 9 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]
