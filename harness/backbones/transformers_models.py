"""CLIP ViT-L/14 and DINOv2 ViT-B/14 from the hub's checkpoints, built by transformers.

* ``clip`` (Radford et al. 2021, arXiv:2103.00020), layer ``image``: the 768 numbers that OpenAI's
  ``encode_image`` returns, of any norm.  ``openai/clip-vit-large-patch14`` holds the same weights.
  Computed in float32, where OpenAI's package halves the precision on a GPU.
* ``dinov2`` (Oquab et al. 2023, arXiv:2304.07193), layers ``cls`` (768,) and ``patches`` (256, 768),
  row by row: both after the last normalisation, at 224 x 224 pixels.  Position embeddings are stored for
  518 x 518 and interpolated as transformers does, which leaves out the offset of 0.1 in the original.

transformers renames its parameters now and then and knows how to read its older files, so a state is
handed to its own loader; any parameter that is missing or left over is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from .pretrained import Pretrained

if TYPE_CHECKING:
    import torch


class Clip(Pretrained):
    """The image tower of CLIP ViT-L/14."""

    layers: ClassVar[tuple[str, ...]] = ("image",)
    config: ClassVar[Mapping[str, Any]] = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }
    """The vision part of config.json of openai/clip-vit-large-patch14."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`; the checkpoint's text tower is left out."""
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        ours = ("vision_model.", "visual_projection.")
        tower = {key: value for key, value in state.items() if key.startswith(ours)}
        tower.pop("vision_model.embeddings.position_ids", None)  # 0, 1, 2 ...: no parameter
        return loaded(CLIPVisionModelWithProjection, CLIPVisionConfig(**self.config), tower)

    def forward(
        self, network: torch.nn.Module, x: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """``image`` (n, 768)."""
        return {"image": network(pixel_values=x).image_embeds} if layers else {}


class DINOv2(Pretrained):
    """DINOv2 ViT-B/14 without registers."""

    layers: ClassVar[tuple[str, ...]] = ("cls", "patches")
    config: ClassVar[Mapping[str, Any]] = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "mlp_ratio": 4,
        "image_size": 518,
        "patch_size": 14,
        "layer_norm_eps": 1e-6,
        "use_swiglu_ffn": False,
    }
    """config.json of facebook/dinov2-base."""

    def build(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """See :class:`Pretrained`."""
        from transformers import Dinov2Config, Dinov2Model

        return loaded(Dinov2Model, Dinov2Config(**self.config), state)

    def forward(
        self, network: torch.nn.Module, x: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """``cls`` (n, 768), ``patches`` (n, 256, 768)."""
        tokens = network(pixel_values=x).last_hidden_state
        parts = {"cls": tokens[:, 0], "patches": tokens[:, 1:]}
        return {layer: parts[layer] for layer in layers}


def loaded(kind: Any, config: Any, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """A transformers model `kind` of `config` with exactly `state`, float32.

    Raises
    ------
    RuntimeError
        Parameters that are missing, left over or of another shape.
    """
    with _quietly():
        network, report = kind.from_pretrained(
            None, config=config, state_dict=dict(state), output_loading_info=True
        )
    wrong = {what: sorted(map(str, keys)) for what, keys in report.items() if keys}
    if wrong:
        raise RuntimeError("; ".join(f"{what.replace('_', ' ')}: {keys[:3]}" for what, keys in wrong.items()))
    return network.float()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' bar and report of loading; the report is read here, not printed."""
    from transformers.utils import logging

    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
