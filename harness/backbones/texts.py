"""Backbones that read captions only: the text towers of CLIP, and a sentence encoder.

* ``clip-l14-text``, ``clip-b32-text`` (Radford et al. 2021, arXiv:2103.00020): the projected feature at
  the end of the text, 768 and 512 numbers of any norm.  Words are cut by the published merges.
* ``minilm-text`` (Reimers and Gurevych 2019, arXiv:1908.10084; all-MiniLM-L6-v2): the mean of the last
  layer over words, of unit norm, 384 numbers; what is beyond 256 tokens is not read.

They have no layer of images.  Networks are open_clip's (:mod:`.openclip`) and transformers'
(:mod:`.transformers_models`); words are cut by tokenizers, since open_clip's tokenizer brings its own merges,
where these are a pinned file.
"""

from __future__ import annotations

import gzip
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import PluginError, WeightsMissing
from . import weights
from .openclip import VIT_B_TEXT, VIT_L_TEXT, TextSizes, text_state, text_tower, with_weights
from .pretrained import built
from .transformers_models import loaded

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

MERGES = 49152 - 256 - 2
"""Merges of CLIP's file that its vocabulary uses."""

START, END = "<|startoftext|>", "<|endoftext|>"
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What is a word before merges: contractions, letters, single digits, other marks."""


class _Text(ABC):
    """A text tower: its weights, and its words (the name of the tokenizer's file)."""

    version: ClassVar[str] = "1"
    name: ClassVar[str]
    weights: ClassVar[str]
    words: ClassVar[str]
    layers: ClassVar[tuple[str, ...]] = ()
    chunk: ClassVar[int] = 64
    """Captions in the network at a time."""

    def __init__(self) -> None:
        self._network: torch.nn.Module | None = None
        self._device = "cpu"

    def identity(self) -> str:
        """Hash of weights and words; :class:`WeightsMissing` without either."""
        text = f"{self.name}|{self.version}|{self.weights_sha()}|{weights.stored_sha(self.words)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def weights_sha(self) -> str:
        """SHA-256 of the weights."""
        return weights.stored_sha(self.weights)

    def open(self, *, device: str) -> None:
        """Build tokenizer and network, in evaluation mode on `device`."""
        network = built(self.build, weights.load_state(self.weights), self.weights)
        self._tokenizer = self.tokenizer(weights.locate(self.words))
        self._device = device
        self._network = network.to(device)

    def extract(self, images: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """No image has a feature here: PluginError."""
        raise PluginError(f"backbone '{self.name}' reads captions, not images; it has no layers")

    def extract_text(self, captions: Sequence[str]) -> np.ndarray:
        """(n, D) float32 of n > 0 captions; PluginError where :meth:`open` was not called."""
        import torch

        if self._network is None:
            raise PluginError(f"backbone '{self.name}' is not open; call open(device=...) first")
        parts = []
        with torch.inference_mode():
            for start in range(0, len(captions), self.chunk):
                encodings = self._tokenizer.encode_batch(list(captions[start : start + self.chunk]))
                ids = torch.tensor([encoding.ids for encoding in encodings], device=self._device)
                mask = torch.tensor([encoding.attention_mask for encoding in encodings], device=self._device)
                parts.append(self.forward(self._network, ids, mask).float().cpu().numpy())
        return np.concatenate(parts)

    @abstractmethod
    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """The network with `state` in it; RuntimeError for the state of another."""

    @abstractmethod
    def tokenizer(self, file: Path) -> Tokenizer:
        """Captions -> numbers of words, padded to equal lengths."""

    @abstractmethod
    def forward(self, network: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Word numbers, and 1 where they are no padding (n, length) -> (n, D)."""


class _ClipText(_Text):
    words: ClassVar[str] = "clip-words"
    sizes: ClassVar[TextSizes]

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """The text part of the whole checkpoint."""
        return with_weights(text_tower(self.sizes), text_state(state))

    def tokenizer(self, file: Path) -> Tokenizer:
        """See :func:`clip_tokenizer`."""
        return clip_tokenizer(file)

    def forward(self, network: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The projected feature of the end of the text; no word sees what follows it, thus no padding."""
        return network(ids * mask)


class ClipL14Text(_ClipText):
    """The text tower of CLIP ViT-L/14."""

    name: ClassVar[str] = "clip-l14-text"
    weights: ClassVar[str] = "clip"
    sizes: ClassVar[TextSizes] = VIT_L_TEXT


class ClipB32Text(_ClipText):
    """The text tower of CLIP ViT-B/32."""

    name: ClassVar[str] = "clip-b32-text"
    weights: ClassVar[str] = "clip-b32"
    sizes: ClassVar[TextSizes] = VIT_B_TEXT


class MiniLMText(_Text):
    """all-MiniLM-L6-v2."""

    name: ClassVar[str] = "minilm-text"
    weights: ClassVar[str] = "minilm"
    words: ClassVar[str] = "minilm-words"
    config: ClassVar[Mapping[str, Any]] = {
        "vocab_size": 30522,
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    """config.json of sentence-transformers/all-MiniLM-L6-v2."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`_Text`."""
        from transformers import BertConfig, BertModel

        parameters = {key: value for key, value in state.items() if key != "embeddings.position_ids"}
        return loaded(BertModel, BertConfig(**self.config), parameters)

    def tokenizer(self, file: Path) -> Tokenizer:
        """The published one; its own limit and padding give way to those of the sentence encoder."""
        from tokenizers import Tokenizer

        try:
            words = Tokenizer.from_file(str(file))
        except Exception as problem:  # tokenizers raises nothing narrower
            raise WeightsMissing(
                f"{file} is not a tokenizer ({problem}). Delete it and type: harness prefetch {self.words}"
            ) from None
        words.enable_truncation(256)
        words.enable_padding()
        return words

    def forward(self, network: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean over words, of unit norm."""
        import torch

        states = network(input_ids=ids, attention_mask=mask).last_hidden_state
        share = mask[..., None].to(states.dtype)
        mean = (states * share).sum(dim=1) / share.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def clip_tokenizer(file: Path) -> Tokenizer:
    """CLIP's byte pair encoding from its file of merges: lower case, padded and cut to 77 with both ends.

    Numbered as there: bytes, bytes that end a word, merges, start, end.  Padding is the end again.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    try:
        lines = gzip.decompress(file.read_bytes()).decode().split("\n")
        merges = [tuple(line.split()) for line in lines[1 : MERGES + 1]]
        if len(merges) != MERGES or any(len(pair) != 2 for pair in merges):
            raise ValueError(f"expected {MERGES} merges")
    except (OSError, EOFError, ValueError) as problem:
        raise WeightsMissing(
            f"{file} is not CLIP's merges ({problem}). Delete it and type: harness prefetch clip-words"
        ) from None
    signs = _byte_signs()
    ordered = [*signs, *(f"{sign}</w>" for sign in signs), *("".join(pair) for pair in merges), START, END]
    numbers = {word: number for number, word in enumerate(ordered)}
    tokenizer = Tokenizer(models.BPE(numbers, merges, end_of_word_suffix="</w>", unk_token=END))
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    ends = (END, numbers[END]), (START, numbers[START])
    tokenizer.post_processor = processors.RobertaProcessing(*ends, trim_offsets=False, add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(word, normalized=False) for word in (START, END)])
    tokenizer.enable_truncation(77)
    tokenizer.enable_padding(length=77, pad_id=numbers[END], pad_token=END)
    return tokenizer


def _byte_signs() -> list[str]:
    """A sign for each byte, in the order of the vocabulary; printable bytes stand for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in plain] + [chr(256 + k) for k in range(256 - len(plain))]
