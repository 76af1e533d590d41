"""Reports of the conformance kit on small subjects, and their sentences."""

from __future__ import annotations

from harness.api import SubjectData
from harness.testing import (
    Report,
    check_decoder,
    check_encoder,
    toy_subject,
)


def small() -> tuple[SubjectData, ...]:
    """New ones each time, since some plugins here write into them."""
    return tuple(toy_subject(name, n_train=12, n_test=6, side=16) for name in ("toy01", "toy02", "toy03"))


def encoder_report(plugin, **more) -> Report:
    return check_encoder(plugin, subjects=small(), **more)


def decoder_report(plugin, **more) -> Report:
    return check_decoder(plugin, subjects=small(), **more)


def one_of(reports: Report, check: str) -> str:
    """The sentence of `check`, which says what was expected, seen, and to be changed."""
    sentences = [str(finding) for finding in reports if finding.check == check]
    assert sentences, [str(finding) for finding in reports]
    assert sentences[0].startswith(f"{check}: expected ")
    assert "; got " in sentences[0]
    assert sentences[0].endswith(".")
    assert "\n" not in sentences[0]
    return sentences[0]


def broken(namespace) -> list[str]:
    return [name for name in vars(namespace) if not name.startswith("_")]


def check_name(name: str) -> str:
    return {"micro_batches": "micro-batches"}.get(name, name.replace("_", " "))
