"""Captions: predicted image tokens -> CLIP ViT-L's tokens by a linear map -> GIT's words.

MindEye2 (Scotti et al. 2024) trained a linear converter from its 256 bigG tokens to the 257 of the
CLIP ViT-L tower that GIT (Wang et al. 2022, arXiv:2205.14100; ``microsoft/git-large-coco``) looks
through, and has GIT write greedily with these in place of its tower's output.  The public code does
so with a class of its own; here a module that hands the tokens on stands where transformers' GIT has
its tower.

The reference against which the paper scores, GIT's captions of the true images, was published as a file
without the code that made it.  The captions of true images here are those of their true tokens, by the
same converter.

The public files were never seen here: names and shapes are those of the public code and model card.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from harness.api import DataError, WeightsMissing
from harness.backbones.transformers_models import loaded

from ..files import load_exactly
from .checkpoints import read_weights

GIT_FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""What is read of the captioner's folder."""

LENGTH = 20
"""Numbers of words at most, the two ends included (``max_length`` of the public code)."""


@dataclass(frozen=True)
class ConverterSettings:
    """Sizes of the converter; the defaults are those of ``bigG_to_L_epoch8.pth``."""

    tokens: int = 256
    dim: int = 1664
    read_tokens: int = 257
    read_dim: int = 1024


class TokenConverter(nn.Module):
    """Tokens (B, tokens, dim) -> (B, read_tokens, read_dim), linear in either axis, nothing between."""

    def __init__(self, settings: ConverterSettings) -> None:
        super().__init__()
        self.linear1 = nn.Linear(settings.tokens, settings.read_tokens)
        self.linear2 = nn.Linear(settings.dim, settings.read_dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.linear2(self.linear1(tokens.transpose(1, 2)).transpose(1, 2))

    @classmethod
    def from_public(cls, path: Path, settings: ConverterSettings | None = None) -> TokenConverter:
        """Read ``bigG_to_L_epoch8.pth``."""
        converter = cls(settings or ConverterSettings())
        load_exactly(converter, read_weights(path), what=f"the token converter in {path.name}")
        return converter.eval().requires_grad_(False)


class _TokensAsTower(nn.Module):
    """Stands where GIT has its image tower: tokens (B, 1, n, d) in place of pixels leave as they are."""

    def forward(self, pixel_values: torch.Tensor, **more: Any) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=pixel_values[:, 0])


class Captioner(nn.Module):
    """Image tokens (N, n, dim) -> N captions, greedily, the same for the same tokens.

    Parameters
    ----------
    converter : to the tokens that `git` reads.
    git : a transformers ``GitForCausalLM``; its image tower is replaced.
    tokenizer : a fast tokenizer of transformers.
    """

    def __init__(self, converter: TokenConverter, git: nn.Module, tokenizer: Any) -> None:
        super().__init__()
        git.git.image_encoder = _TokensAsTower()
        self.converter, self.git, self.tokenizer = converter, git, tokenizer
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, tokens: torch.Tensor) -> tuple[str, ...]:
        """See the class."""
        from transformers import GenerationConfig

        where, config = self.converter.linear1.weight, self.git.config
        read = self.converter(tokens.to(device=where.device, dtype=where.dtype))
        start = torch.full((len(read), 1), config.bos_token_id, device=where.device)
        # Nothing is taken from a generation_config.json: the settings are those of the public code.
        greedy = GenerationConfig(
            max_length=LENGTH,
            do_sample=False,
            num_beams=1,
            bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
        )
        ids = self.git.generate(input_ids=start, pixel_values=read[:, None], generation_config=greedy)
        return self.words(ids.tolist())

    def words(self, ids: Sequence[Sequence[int]]) -> tuple[str, ...]:
        """Captions without the marks of their ends, spaces before punctuation left out."""
        return tuple(self.tokenizer.batch_decode(ids, skip_special_tokens=True))

    @classmethod
    def from_public(
        cls, converter: Path, folder: Path, settings: ConverterSettings | None = None
    ) -> Captioner:
        """Read ``bigG_to_L_epoch8.pth`` and a folder with :data:`GIT_FILES` of the captioner.

        Raises
        ------
        WeightsMissing
            A file that is not there.
        DataError
            Files that are damaged, or do not fit each other.
        """
        settings = settings or ConverterSettings()
        first = TokenConverter.from_public(converter, settings)
        git, tokenizer = _git(folder), _tokenizer(folder / "tokenizer.json")
        tower, attention = git.config.vision_config, git.git.encoder.layer[0].attention.self
        sizes = (attention.image_patch_tokens, tower.hidden_size)
        if sizes != (settings.read_tokens, settings.read_dim):
            raise DataError(
                f"the captioner in {folder} reads {sizes[0]} tokens of size {sizes[1]}, the converter gives "
                f"{settings.read_tokens} of size {settings.read_dim}; expected microsoft/git-large-coco"
            )
        return cls(first, git, tokenizer)


def _git(folder: Path) -> nn.Module:
    """``GitForCausalLM`` of config.json with exactly model.safetensors in it."""
    from transformers import GitConfig, GitForCausalLM

    file = folder / "config.json"
    try:
        config = GitConfig.from_dict(json.loads(file.read_text()))
    except FileNotFoundError:
        raise WeightsMissing(f"{file} is not there; place {', '.join(GIT_FILES)} of the captioner") from None
    except Exception as problem:  # transformers raises what its dataclasses do
        reason = " ".join(str(problem).split())[:200]
        raise DataError(f"{file} is no configuration of GIT ({reason}); fetch it again") from None
    weights = read_weights(folder / "model.safetensors")
    # Files of that age also hold the numbers 0, 1, 2 ..., which are no parameters.
    weights = {name: value for name, value in weights.items() if not name.endswith(".position_ids")}
    try:
        return loaded(GitForCausalLM, config, weights)
    except RuntimeError as problem:
        reason = " ".join(str(problem).split())[:200]
        raise DataError(
            f"{folder / 'model.safetensors'} does not fit {file} ({reason}); fetch both again"
        ) from None


def _tokenizer(file: Path) -> Any:
    """The words of tokenizer.json; nothing else of the folder decides how they are written."""
    from transformers import PreTrainedTokenizerFast

    if not file.is_file():
        raise WeightsMissing(f"{file} is not there; place {', '.join(GIT_FILES)} of the captioner")
    try:
        return PreTrainedTokenizerFast(tokenizer_file=str(file), clean_up_tokenization_spaces=True)
    except Exception as problem:  # tokenizers raises nothing narrower
        raise DataError(f"{file} is not a tokenizer ({problem}); fetch it again") from None
