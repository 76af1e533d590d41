"""A small GIT in the layout of the public one, and the parts of MindEye2 that make captions with it."""

from __future__ import annotations

import dataclasses
import json

import torch
from public_mindeye2 import TOY

from harness.decoders.mindeye2 import captions, public

CONVERTER = captions.ConverterSettings(tokens=4, dim=12, read_tokens=5, read_dim=8)
CAPTIONED = dataclasses.replace(TOY, converter=CONVERTER)
TEXT = "[PAD] [UNK] [CLS] [SEP] a man ' s dog , sit ##ting . on the two ##s red near bus and cat"
WORDS = TEXT.split()
CONFIG = {
    "architectures": ["GitForCausalLM"],
    "model_type": "git",
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "classifier_dropout": None,
    "tie_word_embeddings": False,
    "vision_config": {
        "model_type": "git_vision_model",
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
        "projection_dim": 4,
        "dropout": 0.0,
    },
}
"""As config.json of microsoft/git-large-coco, smaller."""


def write_captioner(folder):
    """The converter and GIT's files in `folder`, weights at random but loud, so that captions differ."""
    from safetensors.torch import save_file
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import GitConfig, GitForCausalLM

    torch.manual_seed(3)
    converter = captions.TokenConverter(CONVERTER)
    torch.save({"epoch": 8, "model_state_dict": converter.state_dict()}, folder / public.CONVERTER)
    home = folder / public.CAPTIONER
    home.mkdir()
    git = GitForCausalLM(GitConfig.from_dict(CONFIG))
    for value in git.parameters():
        if value.ndim > 1:  # norms keep ones and biases zeros, or one word would always win
            torch.nn.init.normal_(value, std=0.7)
    state = {name: value.detach().clone() for name, value in git.state_dict().items()}
    state["git.embeddings.position_ids"] = torch.arange(32)[None]  # files of 2023 have these
    state["git.image_encoder.vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    save_file(state, home / "model.safetensors")
    (home / "config.json").write_text(json.dumps(CONFIG))
    sampled = {"do_sample": True, "num_beams": 3, "max_length": 7, "temperature": 9.0}
    (home / "generation_config.json").write_text(json.dumps(sampled))
    words = Tokenizer(models.WordPiece({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    words.add_special_tokens([AddedToken(word, special=True) for word in WORDS[:4]])
    words.save(str(home / "tokenizer.json"))
    return folder
