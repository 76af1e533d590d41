"""Subjects of an encoder: one fitted after the other, and others refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.api import Features, SpaceMismatch, SubjectData, VoxelSpace


class SubjectModels(ABC):
    """What a fit begins with: nothing of an earlier one."""

    @abstractmethod
    def forget(self) -> None:
        """Drop the models of all subjects."""


class SeparateSubjects(SubjectModels):
    """A model for each subject, that shares nothing with those of others."""

    def fit(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """One model for each of `subjects`, from nothing."""
        self.forget()
        for subject in subjects:
            self.adapt(subject, features, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    @abstractmethod
    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Add a model for one more subject; the others stay as they are."""


def unknown(space: VoxelSpace, fitted: Iterable[VoxelSpace], encoder: object, *, name: str) -> SpaceMismatch:
    """Why an `encoder` called `name`, fitted on some spaces, answers nothing for another, `space`."""
    fitted = list(fitted)
    if not fitted:
        return SpaceMismatch(f"the {name} encoder is not fitted; call fit with a subject's training data")
    for own in fitted:
        if own.subject == space.subject:
            own.require(space, what=f"{name} encoder")
    names = ", ".join(own.subject for own in fitted)
    remedy = "fit or adapt it to" if hasattr(encoder, "adapt") else "fit it on"
    return SpaceMismatch(
        f"{name} encoder: fitted on {names}, asked for {space.subject}; {remedy} {space.subject} first"
    )
