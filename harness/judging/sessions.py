"""Sessions: drift between them, and which trials set the z-score."""

from __future__ import annotations

import numpy as np

from ..data import SubjectData
from .sample import trials_at
from .verdict import Judgement, Verdict

_NEAR = 0.03
"""How close means must be to 0 and spreads to 1 to count as z-scored."""
_DRIFTS = 3.0
"""Share of variance between sessions, as a multiple of what chance gives, that is called drift."""


def judge_sessions(data: SubjectData, voxels: np.ndarray) -> Judgement:
    """Variance between sessions, and over which trials the responses are z-scored."""
    parts = [
        (trials_at(part.responses, np.arange(part.responses.n_trials), voxels), part.responses.session)
        for part in (data.train, data.test)
    ]
    values = {"training trials": parts[0], "all trials": tuple(np.concatenate(pair) for pair in zip(*parts))}
    scopes = [
        f"{trials} of {'each session' if by_session else 'all sessions'}"
        for trials, (numbers, session) in values.items()
        for by_session in (True, False)
        if _zscored(numbers, session if by_session else np.zeros(len(session)))
    ]
    numbers, session = values["all trials"]
    figures = [
        ("units, as stated", data.space.units),
        ("means 0 and spreads 1 over", " and over ".join(scopes) or "no group of trials that was tried"),
    ]
    names = np.unique(session)
    share, chance = _between(numbers, session)
    if len(names) > 1:
        figures += [
            ("sessions", str(len(names))),
            ("variance between sessions", f"{100 * share:.2f} % (chance {100 * chance:.2f} %)"),
        ]
    leaks = any(scope.startswith("all trials") for scope in scopes) and not any(
        s.startswith("training") for s in scopes
    )
    if leaks:
        sentence = "test trials took part in the z-score: the test set is known to the scaler"
        advice = (
            "start from betas that are not z-scored and normalise with training trials (normalise: "
            "zscore_session)"
        )
        return Judgement("sessions", Verdict.NOTE, sentence, tuple(figures), advice)
    if len(names) > 1 and share > _DRIFTS * chance and share > 0.01:
        sentence = f"voxels drift between sessions: {100 * share:.0f} % of the variance of trials"
        return Judgement(
            "sessions", Verdict.NOTE, sentence, tuple(figures), "normalise: zscore_session takes it out"
        )
    if len(names) == 1:
        return Judgement(
            "sessions", Verdict.UNKNOWN, "nothing says in which session a trial was", tuple(figures)
        )
    return Judgement("sessions", Verdict.GOOD, "no drift between sessions beyond chance", tuple(figures))


def _zscored(values: np.ndarray, group: np.ndarray) -> bool:
    for number in np.unique(group):
        part = values[group == number]
        if len(part) < 3 or np.abs(part.mean(0)).max() > _NEAR or np.abs(part.std(0) - 1).max() > _NEAR:
            return False
    return True


def _between(values: np.ndarray, session: np.ndarray) -> tuple[float, float]:
    """Mean over voxels of the share of variance between sessions, and what chance gives."""
    names, of = np.unique(session, return_inverse=True)
    counts = np.bincount(of)
    means = np.stack([values[of == k].mean(axis=0) for k in range(len(names))])
    total = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    between = (counts[:, None] * (means - values.mean(axis=0)) ** 2).sum(axis=0)
    share = between / np.where(total > 0, total, np.inf)
    return float(share.mean()), (len(names) - 1) / max(len(values) - 1, 1)
