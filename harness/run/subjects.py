"""Which subjects a run is about: names of the benchmark's subjects, or their numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError, suggest
from ..plugins import PluginRef
from ..stages.precomputed import FilePredictions


def subject_named(given: str, subjects: Sequence[str], *, option: str) -> str:
    """The one of `subjects` that `given` names: by its name, by the number at its end, or, where no name
    ends in a number, by its place from 1.

    Raises
    ------
    ConfigError
        None, or several.
    """
    if given in subjects:
        return given
    if given.isdecimal():
        numbers = {name: int(end[0]) for name in subjects if (end := re.search(r"\d+$", name))}
        numbers = numbers or {name: k for k, name in enumerate(subjects, start=1)}
        of_number = [name for name, number in numbers.items() if number == int(given)]
        if len(of_number) == 1:
            return of_number[0]
        if of_number:
            raise ConfigError(f"{option} {given} may be {' or '.join(of_number)}; give the name")
    raise ConfigError(f"{option}: " + suggest(given, subjects, what="subject"))


def training_subjects(
    given: Sequence[str], subject: str, subjects: Sequence[str], *, encoder: PluginRef | None
) -> tuple[str, ...]:
    """Subjects that the encoder is fitted on, each once, in the benchmark's order; `subject` without any.

    Raises
    ------
    ConfigError
        No encoder is fitted, or it cannot be transferred to `subject`.
    """
    if not given:
        return (subject,)
    words = f"--train-subjects {','.join(given)}"
    if encoder is None:
        raise ConfigError(f"{words}: no encoder is fitted in this run; add --encoder or leave it out")
    plugin: Any = encoder.load()
    if plugin is FilePredictions:
        raise ConfigError(f"{words}: predictions from a file are not fitted here; leave it out")
    chosen = {subject_named(word, subjects, option="--train-subjects") for word in given}
    if subject not in chosen and not (hasattr(plugin, "adapt") or getattr(plugin, "any_space", False)):
        one_of_them = min(chosen, key=subjects.index)
        raise ConfigError(
            f"{words}: encoder '{encoder.name}' cannot be adapted to {subject}, which is none of them "
            f"(it has no adapt); add {subject}, or score one of them: --subject {one_of_them}"
        )
    return tuple(name for name in subjects if name in chosen)
