"""Verification of a submission: every number that can be recomputed is, and what differs is said by name.

From outside in: hashes of files; tables against each other and the record; what is derived of them; facts of
the data and a sample of values, where the benchmark's data are at hand; on request the whole run anew.  Files
of a submission are read as data and never executed, nor is code that they name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from .. import __version__
from ..data import SubjectData
from ..errors import DataError, HarnessError, quoted
from ..results import PluginRecord, RunResult
from ..verified import FILE as VERIFIED
from ..verified import Verified, folder_hashes
from .cards import DESCRIBED, KINDS, cards_of, installed, public_params
from .data import check_facts, check_images, check_responses
from .document import FILE, Card, SubmissionRecord, read_submission
from .findings import Findings
from .remade import remade_plan
from .tables import check_derived, check_tables
from .write import cards_page

FILES = "files by their hashes"
CARDS = "cards of encoder, decoder and benchmark"
ELSEWHERE = (
    "run.json: timings, memory, device, versions, dates",
    "run.json: flags, unless the run is made anew",
)

Derive = Callable[[RunResult], Mapping[str, bytes]]


def verify(
    folder: Path,
    derive: Derive,
    *,
    data: Callable[[RunResult], tuple[SubjectData | None, str]],
    anew: Callable[[RunResult, Findings], None] | None = None,
    sample: int = 100,
) -> Findings:
    """Check the submission in `folder`.

    derive : run -> name and content of the CSV files that are made of it.  data : run -> its subject's data,
    or why they are not at hand.  anew : makes the run again and compares it.  sample : images of each row.

    Raises
    ------
    DataError
        There is no submission, or one that cannot be read.
    """
    findings = Findings()
    submission = read_submission(folder)
    _check_files(folder, submission, findings)
    run = RunResult.open(folder)
    _check_cards(run, submission, findings)
    _readable(lambda: check_tables(run, findings), folder, findings)
    _readable(lambda: check_derived(run, derive(run), findings), folder, findings)
    subject, why_not = data(run)
    if subject is None:
        findings.not_checked.append(f"data and single values: {why_not}")
    else:
        check_facts(run, subject, findings)
        _readable(lambda: check_images(run, subject, findings, sample=sample), folder, findings)
        _readable(lambda: check_responses(run, subject, findings), folder, findings)
    if anew is not None:
        anew(run, findings)
    findings.not_checked += ELSEWHERE[: 1 if anew is not None else 2]
    return findings


def write_verified(folder: Path, findings: Findings) -> Verified:
    """``verified.json``, which the next edit of any file voids (:mod:`harness.verified`)."""
    verified = Verified(
        harness_version=__version__,
        checked=tuple(findings.summary()),
        not_checked=tuple(findings.not_checked),
        files=folder_hashes(folder),
    )
    (folder / VERIFIED).write_text(json.dumps(verified.model_dump(), indent=1) + "\n", "utf-8")
    return verified


def _check_files(folder: Path, submission: SubmissionRecord, findings: Findings) -> None:
    present = folder_hashes(folder)
    for name, sha in sorted(submission.files.items()):
        findings.checked[FILES] = findings.checked.get(FILES, 0) + 1
        if name not in present:
            findings.wrong.append(f"{name} is missing")
        elif present[name] != sha:
            findings.wrong.append(f"{name} is another file than was submitted (SHA-256)")
    for name in sorted(present.keys() - submission.files.keys() - {FILE}):
        findings.wrong.append(f"{name} does not belong to the submission")
    if links := [name for name, sha in present.items() if sha == "a link"]:
        raise DataError(f"{folder / links[0]} is a link; a submission holds files")


def _check_cards(run: RunResult, submission: SubmissionRecord, findings: Findings) -> None:
    record = run.record
    for name, value in (("run", record.run), ("identity", record.identity)):
        findings.compare(CARDS, f"{FILE}: {name}", getattr(submission, name), value)
    present = [kind for kind in KINDS if getattr(record, kind) is not None]
    findings.compare(CARDS, f"{FILE}: kinds of cards", [card.kind for card in submission.cards], present)
    plan, _ = remade_plan(record)
    here = {card.kind: card for card in cards_of(record, plan)}
    for card in submission.cards:
        described = getattr(record, card.kind, None) if card.kind in KINDS else None
        if described is None:
            continue
        for name in DESCRIBED:
            where = f"{FILE}: {name} of the {card.kind}'s card"
            findings.compare(CARDS, where, getattr(card, name), getattr(described, name))
        params = public_params(described.params)
        findings.compare_tree(CARDS, f"{FILE}: params of the {card.kind}'s card", card.params, params)
        _compare_said(card, here[card.kind], findings, called=plan is not None)
    page = run.folder / "CARDS.md"
    if not page.is_file():
        return
    findings.compare(CARDS, "CARDS.md", page.read_text("utf-8"), cards_page(submission.cards))


def _compare_said(card: Card, here: Card, findings: Findings, *, called: bool) -> None:
    """What an installed plugin of the same file says of itself; of training, if it was `called`."""
    ref = installed(card.kind, PluginRecord(name=card.name, version=card.version))
    if ref is None or ref.file_sha() != card.file_sha:
        findings.not_checked.append(
            f"what the card of the {card.kind} '{card.name}' says: it is not installed"
        )
        return
    for name in (
        "licence",
        "citation",
        *(("training_sets", "training_images", "networks") if called else ()),
    ):
        where = f"{FILE}: {name} of the {card.kind}'s card"
        findings.compare(CARDS, where, getattr(card, name), getattr(here, name))


def _readable(check: Callable[[], None], folder: Path, findings: Findings) -> None:
    """`check`, in which a table that cannot be read is one more thing that is wrong."""
    try:
        check()
    except HarnessError as problem:
        findings.wrong.append(str(problem))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        findings.wrong.append(f"{folder}: a table cannot be read ({quoted(str(problem))})")
