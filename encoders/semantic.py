"""Semantic read-out: ridge from what people wrote of an image, its captions or labels, to voxels.

Encoding models of words instead of pixels: of labels in Huth, Nishimoto, Vu & Gallant 2012
(doi 10.1016/j.neuron.2012.10.014), of sentence embeddings of NSD's captions in Doerig et al. 2022
(arXiv:2209.11737).  No network sees the image, at prediction neither: the words of test images come from the
benchmark, so it bounds what such words explain and is no model of seeing.  Runs are flagged for that, and
pictures without captions (``harness predict``) are refused.

Faithful: the mean embedding of all captions of an image, one linear map with a penalty for each voxel.
Chosen: the text encoder (all-MiniLM-L6-v2 in place of MPNet; CLIP's towers by name); a label is embedded as
its word, in place of WordNet's tree; penalties by this project's ridge.  Trained on the subject's own
responses and on people's words for its images; code Apache-2.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.api import ConfigError, DataError, Features, Stimuli
from harness.solvers.ridge import PENALTIES, check_penalties

from .ridge import RidgeEncoder

CAPTIONS = "captions"


class SemanticEncoder(RidgeEncoder):
    """Captions or labels of an image -> mean responses, linear in embeddings of the words."""

    name = "semantic"

    @dataclass(frozen=True)
    class Params:
        """What is read, and how it is regressed on.

        text : a backbone that reads texts.
        reads : ``captions``, or names of labels that the benchmark has (``category`` ...), side by side.
        several : of images with several captions the ``mean`` embedding, or that of the ``first``.
        alphas, folds, fold_by, standardise, weight_by_repeats, per_voxel : as for `ridge`.
        """

        text: str = "minilm-text"
        reads: tuple[str, ...] = (CAPTIONS,)
        several: Literal["mean", "first"] = "mean"
        alphas: tuple[float, ...] = PENALTIES
        folds: int = 5
        fold_by: Literal["id", "position"] = "id"
        standardise: bool = True
        weight_by_repeats: bool = True
        per_voxel: bool = True

        def __post_init__(self) -> None:
            if not self.reads:
                raise ConfigError("encoder.reads is empty; name what is read, for example [captions]")
            check_penalties(self.alphas, self.folds, section="encoder")

    def wants(self) -> tuple[tuple[str, str], ...]:
        """No layer of images."""
        return ()

    def wants_text(self) -> tuple[str, ...]:
        """The backbone that reads."""
        return (self.params.text,)

    def require(self, stimuli: Stimuli) -> None:
        """Refuse images of which nobody wrote what is to be read: :class:`DataError`."""
        written = [*([] if stimuli.references is None else [CAPTIONS]), *stimuli.labels]
        for name in self.params.reads:
            if name not in written:
                instead = f"--set encoder.reads=[{written[0]}]" if written else "--encoder ridge sees pixels"
                raise DataError(
                    f"the semantic encoder reads {name}, which these images have not; they have "
                    f"{', '.join(written) or 'neither captions nor labels'}: {instead}"
                )

    def design(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, p) float32 embeddings of what is read, side by side."""
        self.require(stimuli)
        return np.concatenate([self._embedded(name, stimuli, features) for name in self.params.reads], axis=1)

    def _embedded(self, name: str, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, D) of captions or of a label; every text is read once."""
        if name == CAPTIONS:
            several = self.params.several == "mean"
            texts_of = [texts if several else texts[:1] for texts in stimuli.references]
        else:
            texts_of = [(str(value),) for value in stimuli.labels[name]]
        texts = sorted({text for own in texts_of for text in own})
        vectors = features.text(self.params.text, texts)
        row = {text: k for k, text in enumerate(texts)}
        return np.stack([vectors[[row[text] for text in own]].mean(axis=0) for own in texts_of])
