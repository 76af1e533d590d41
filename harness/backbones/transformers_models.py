"""DINOv2 ViT-B/14 from the hub's checkpoint, built by transformers.

``dinov2`` (Oquab et al. 2023, arXiv:2304.07193), layers ``cls`` (768,) and ``patches`` (256, 768), row by
row: both after the last normalisation, at 224 x 224 pixels; ``block1`` to ``block12`` (257, 768) are the
outputs of the blocks, the class token first.  Position embeddings are stored for 518 x 518 and
interpolated as transformers does, which leaves out the offset of 0.1 in the original.  Tokens are kept as
float16: a layer of 10,000 images is 3.9 GB.

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


class DINOv2(Pretrained):
    """DINOv2 ViT-B/14 without registers."""

    half: ClassVar[tuple[str, ...]] = ("patches", *(f"block{k + 1}" for k in range(12)))
    layers: ClassVar[tuple[str, ...]] = ("cls", *half)
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
        """``cls`` (n, 768), ``patches`` (n, 256, 768), blocks (n, 257, 768)."""
        blocks = any(layer.startswith("block") for layer in layers)
        output = network(pixel_values=x, output_hidden_states=blocks)
        tokens = output.last_hidden_state
        parts = {"cls": tokens[:, 0], "patches": tokens[:, 1:]}
        if blocks:
            parts |= {f"block{k}": values for k, values in enumerate(output.hidden_states) if k}
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
