"""What the decoders that draw with a :class:`.painter.Painter` have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.api import (
    DataError,
    Decoded,
    Features,
    Stimuli,
    SubjectData,
    check_ranges,
)
from harness.backbones.images import planes
from harness.decoders.drawing import BATCH, draws, image_targets, last_channel
from harness.decoders.fitted import FittedDecoder, require_voxels
from harness.decoders.settings import part_of
from harness.training import purpose_seed

from .conditions import Conditions, Drawing

if TYPE_CHECKING:
    import torch

    from .painter import Painter


class CaptionBook:
    """Training captions, and which of them is nearest to an image.

    No decoder is given the captions of test images.  Where a generator's ceiling needs words, those of the
    training caption stand in that the image-text model finds nearest to the true image.
    """

    def __init__(self, captions: Sequence[str], vectors: np.ndarray) -> None:
        self.captions, self.vectors = tuple(captions), vectors

    @classmethod
    def of(cls, painter: Painter, captions: Sequence[str]) -> CaptionBook:
        """Each caption once, in alphabetical order."""
        import torch

        each = sorted(set(captions))
        with torch.no_grad():
            parts = [
                painter.word_vector(each[k : k + BATCH]).float().cpu() for k in range(0, len(each), BATCH)
            ]
        return cls(each, torch.cat(parts).numpy())

    def nearest(self, painter: Painter, images: torch.Tensor) -> list[str]:
        """The caption of highest cosine with each of `images` (B, 3, H, W)."""
        import torch

        with torch.no_grad():
            seen = painter.image_vector(images.to(painter.device)).float().cpu().numpy()
        return [self.captions[k] for k in (seen @ self.vectors.T).argmax(1)]

    def save(self, folder: Path) -> None:
        """Two files."""
        (folder / "captions.json").write_text(json.dumps(self.captions))
        np.save(folder / "captions.npy", self.vectors, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> CaptionBook:
        """Read what :meth:`save` wrote."""
        try:
            captions = json.loads((folder / "captions.json").read_text())
            return cls(captions, np.load(folder / "captions.npy", allow_pickle=False))
        except (OSError, ValueError, EOFError) as problem:
            raise DataError(f"{folder} holds no captions ({problem}); fit the decoder again") from None


@dataclass(frozen=True, kw_only=True)
class PaintedParams:
    """What each of these decoders is told; those that draw add fields of :class:`.painter.Drawing`.

    weights : ``public``, what ``harness prefetch`` keeps, or ``tiny`` for this project's small parts, which
        know the embedded benchmark's scenes only.
    candidates : pictures drawn per image.
    """

    weights: Literal["public", "tiny"] = "public"
    candidates: int = 1

    def __post_init__(self) -> None:
        check_ranges(self, {"guidance": (0, 100), "candidates": (1, 1000)}, section="decoder")
        self.drawing()  # refuses what cannot be

    def drawing(self) -> Drawing:
        """How pictures are drawn."""
        return part_of(self, Drawing)


class PaintedDecoder(FittedDecoder):
    """Weights, targets and pictures; subclasses say what is regressed and what is drawn.

    generator : ``versatile`` or ``stable``.  reads_words : whether it needs captions.
    checkpoints : parameters that name published files.
    """

    stochastic = True
    generator: ClassVar[str] = "versatile"
    reads_words: ClassVar[bool] = True
    null: ClassVar[str] = "zeros"
    checkpoints: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Any) -> None:
        self.params = params

    @cached_property
    def painter(self) -> Painter:
        """The generator, read when it is first needed."""
        import torch

        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and read over
            if self.params.weights == "tiny":
                from .tiny import small

                return small.painter()
            from . import public

            if self.generator == "stable":
                return public.stable()
            return public.versatile(words=self.reads_words, null=self.null)

    def identity(self) -> str:
        """Of the weights that it draws with; without them an error says what to fetch."""
        if self.params.weights == "tiny":
            from .tiny import small

            return small.fingerprint()
        from . import public

        return public.fingerprint(self.generator, words=self.reads_words)

    @classmethod
    def missing(cls, params: Any, *, subject: str) -> list[str]:
        """A line for each file of weights that is not there."""
        lines = []
        if params.weights == "public":
            from . import public

            lines += public.missing(cls.generator, words=cls.reads_words)
        for name in cls.checkpoints:
            if (given := getattr(params, name)) and not Path(given).expanduser().is_file():
                lines.append(
                    f"decoder.{name} is {given}, which is no file; give the path of the published one"
                )
        return lines

    def networks(self) -> tuple[str, ...]:
        """Backbones of the harness that it looks through."""
        if self.params.weights == "tiny":
            return ("bigg@tiny",)
        return ("clip", "clip-l14-text") if self.reads_words else ("clip",)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, tokens * dim) true image tokens of `images` (n, H, W, 3)."""
        return self._true_tokens(images).flatten(1).float().cpu().numpy()

    def _move(self, device: str) -> None:
        super()._move(device)
        self.painter.to(device)

    def _begin(self, subject: SubjectData, device: str) -> None:
        """Refuse what cannot be fitted."""
        require_voxels(subject)
        if self.reads_words and subject.train.stimuli.captions is None:
            raise DataError(
                f"{self.label} learns from captions and the training images of {subject.space.subject} have "
                "none; give the benchmark its captions, or choose mindeye1, which needs none"
            )
        self._move(device)

    def _computed(
        self,
        features: Features,
        name: str,
        stimuli: Stimuli,
        compute: Callable[[torch.Tensor, int], torch.Tensor],
        *,
        more: str = "",
    ) -> np.ndarray:
        """float16 targets (N, ...) of training images; `compute` gets planes and the place of the first."""
        identity = hashlib.sha256(f"{self.identity()}|{more}".encode()).hexdigest()
        return image_targets(features, name, stimuli, compute, device=self.device, identity=identity)

    def _word_targets(self, features: Features, stimuli: Stimuli) -> np.ndarray:
        """(N, m, d) of each training image's caption; where it has several, their mean."""
        import torch

        references = stimuli.references

        def words(images: torch.Tensor, first: int) -> torch.Tensor:
            part = references[first : first + len(images)]
            return torch.stack([self.painter.word_tokens(captions).mean(0) for captions in part])

        sha = hashlib.sha256(json.dumps(references).encode()).hexdigest()
        return self._computed(features, "words", stimuli, words, more=sha)

    def _latent_noise(self, count: int, first: int, seed: int, purpose: str) -> torch.Tensor:
        """Standard normal latents of training images, one generator each, by place."""
        import torch

        generators = [
            torch.Generator().manual_seed(purpose_seed(seed, purpose, first + k)) for k in range(count)
        ]
        return draws(generators, self.painter.latent_shape)

    def _drawn(
        self,
        conditions: Conditions,
        generators: Sequence[torch.Generator],
        *,
        start: Callable[[], torch.Tensor] | None = None,
        embedding: np.ndarray | None = None,
        low_level: torch.Tensor | None = None,
    ) -> Decoded:
        """All candidates; `start` draws first latents anew for each."""
        pictures = []
        for _ in range(self.params.candidates):
            picture = self.painter.draw(
                conditions,
                drawing=self.params.drawing(),
                generators=generators,
                start=None if start is None else start(),
            )
            pictures.append(last_channel(picture))
        blurry = None if low_level is None else last_channel(low_level)
        return Decoded(np.stack(pictures, axis=1), embedding=embedding, low_level=blurry)

    def _true_tokens(self, images: np.ndarray) -> torch.Tensor:
        """Image tokens of `images` (n, H, W, 3)."""
        import torch

        with torch.no_grad():
            parts = [self.painter.image_tokens(part.to(self.device)) for part in planes(images).split(BATCH)]
        return torch.cat(parts)


def flat(values: Any) -> np.ndarray:
    """An array or token store (N, ...) -> (N, D)."""
    values = np.asarray(values[:])
    return values.reshape(len(values), -1)
