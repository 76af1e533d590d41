"""Reading public checkpoints without running anything in them, and keeping fitted networks.

The released ``last.pth`` also hold optimizer objects of DeepSpeed.  They are read with
``weights_only=True``; every class in the file that torch does not know becomes an empty stand-in,
so neither DeepSpeed nor trust in the file is needed.  Names of ``os`` and ``sys`` torch refuses.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from harness.api import DataError, WeightsMissing
from harness.decoders.files import loaded
from harness.nn.diffusion_prior import PriorSettings
from harness.nn.halving import halve_products

from ..files import load_exactly
from .backbone import BackboneSettings
from .model import MindEye2Network, ModelSettings

logger = logging.getLogger(__name__)

STATE_KEYS = ("model_state_dict", "state_dict", "model")
"""Where public files keep their weights; a plain mapping of tensors is taken as it is."""


class _StandIn:
    """Takes the place of an object of a class that is not needed; does nothing."""

    def __new__(cls, *args: Any, **more: Any) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *args: Any, **more: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor from ``.safetensors``, or from a ``.pth`` or ``.ckpt`` of torch, on the CPU."""
    if not path.is_file():
        raise WeightsMissing(f"{path} is not there; download the checkpoint or give its path")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as problem:
            raise DataError(f"{path} cannot be read ({problem}); fetch it again, or fit it again") from None
    try:
        with _stand_ins(path):
            content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"{path} cannot be read as weights: it is damaged, or wants to run code; fetch it again, or "
            "where it was made store the weights alone: safetensors.torch.save_file(state_dict, FILE)"
        ) from None
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise DataError(f"{path} cannot be read as weights ({reason}); fetch it again") from None
    return _weights_in(content, path)


@contextlib.contextmanager
def _stand_ins(path: Path):
    """Let every unknown class named in the file mean :class:`_StandIn` while it is read."""
    unknown = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if unknown:
        logger.info("%s: left out objects of %s", path.name, ", ".join(sorted(unknown)))
    classes = [(type(f"StandIn{k}", (_StandIn,), {}), name) for k, name in enumerate(unknown)]
    with torch.serialization.safe_globals(classes):
        yield


def _weights_in(content: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(content, Mapping):
        content = next((content[key] for key in STATE_KEYS if isinstance(content.get(key), Mapping)), content)
        weights = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
        if weights:
            return weights
    raise DataError(
        f"{path} holds no mapping of names to tensors; expected one, or one under {', '.join(STATE_KEYS)}"
    )


def settings_of(weights: Mapping[str, torch.Tensor]) -> tuple[list[int], ModelSettings]:
    """Voxels of each ridge layer and the sizes of a released network, from its shapes.

    The public inference code wants hidden size and low-level head typed in by hand and fails
    confusingly where they are wrong.
    """
    try:
        hidden = len(weights["backbone.mixer_blocks1.0.0.weight"])
        width = len(weights["backbone.clip_proj.0.weight"])
        net = "diffusion_prior.net."
        layer = f"{net}causal_transformer.layers."
        head = weights[f"{layer}0.0.null_kv"].shape[1]
        tokens = weights["backbone.backbone_linear.weight"].shape[0] // width
        query = weights.get(f"{net}learned_query")
        low_level = "backbone.blin1.weight" in weights
        backbone = BackboneSettings(
            hidden=hidden,
            sequence=len(weights["backbone.mixer_blocks2.0.0.weight"]),
            blocks=_count(weights, "backbone.mixer_blocks1."),
            token_dim=width,
            tokens=tokens,
            low_level=low_level,
            **(_low_level_sizes(weights) if low_level else {}),
        )
        prior = PriorSettings(
            token_dim=width,
            tokens=tokens,
            depth=_count(weights, layer),
            heads=weights[f"{layer}0.0.to_q.weight"].shape[0] // head,
            head_size=head,
            timesteps=len(weights["diffusion_prior.noise_scheduler.betas"]),
            query="none" if query is None else "pos_emb" if len(query) == tokens else "all_pos_emb",
        )
    except KeyError as missing:
        raise DataError(
            f"weights of mindeye2: {missing} is missing; expected a MindEye2 checkpoint"
        ) from None
    return ridge_voxels(weights), ModelSettings(backbone, prior)


def ridge_voxels(weights: Mapping[str, torch.Tensor]) -> list[int]:
    """Voxels of each ridge layer, in its order."""
    return [weights[f"ridge.linears.{k}.weight"].shape[1] for k in range(_count(weights, "ridge.linears."))]


def _count(weights: Mapping[str, torch.Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)})


def _low_level_sizes(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    channels = len(weights["backbone.bnorm.weight"])
    stages = _count(weights, "backbone.bupsampler.up_blocks.")
    widths = [
        weights[f"backbone.bupsampler.up_blocks.{k}.resnets.1.conv1.weight"].shape[0] for k in range(stages)
    ]
    return {
        "side": round((weights["backbone.blin1.weight"].shape[0] / channels) ** 0.5),
        "map_channels": channels,
        "latent_channels": weights["backbone.bupsampler.conv_out.weight"].shape[0],
        "decoder_channels": tuple(reversed(widths)),
        "auxiliary_dim": weights["backbone.b_maps_projector.0.weight"].shape[0],
    }


def start_from_pretrained(
    network: MindEye2Network, weights: Mapping[str, torch.Tensor], *, faithful: bool = False
) -> None:
    """Begin a new subject from a network that was trained on others; its ridge layers are not used.

    `faithful` keeps a slip of the public code, which drops the first ridge weight only: the new
    subject then inherits the bias of the first pretraining subject.
    """
    own = network.state_dict()
    shared = {name: value for name, value in weights.items() if not name.startswith("ridge.")}
    if faithful:
        shared["ridge.linears.0.bias"] = weights["ridge.linears.0.bias"]
    kept = {name: value for name, value in own.items() if name.startswith("ridge.")}
    load_exactly(network, {**kept, **shared}, what="the pretrained MindEye2")


def load_network(
    weights: Mapping[str, torch.Tensor],
    *,
    voxels: Sequence[int] | None = None,
    settings: ModelSettings | None = None,
    dtype: torch.dtype = torch.float32,
) -> MindEye2Network:
    """A network of the sizes found in `weights`, loaded strictly, in evaluation mode.

    `dtype` is that of its products' weights (:mod:`harness.nn.halving`).

    `voxels`, if given, must be those of the ridge layers: the wrong subject is refused.  `settings`
    is needed only where shapes do not tell all: dropout or norm groups other than the released.
    """
    ridge_sizes = ridge_voxels(weights)
    settings = settings or settings_of(weights)[1]
    if voxels is not None and list(voxels) != ridge_sizes:
        raise DataError(
            f"the checkpoint's ridge layers take {ridge_sizes} voxels, the data have {list(voxels)}; "
            "choose the checkpoint of this subject"
        )
    return loaded(
        lambda: halve_products(MindEye2Network(ridge_sizes, settings), dtype), weights, what="MindEye2"
    )


def save_network(network: MindEye2Network, path: Path, *, half: bool = False) -> None:
    """Write the weights under their public names; `half` stores float16."""
    from safetensors.torch import save_file

    learned = {name for name, _ in network.named_parameters()}  # schedules and frequencies stay exact
    state = {
        name: (value.half() if half and name in learned else value).detach().cpu().clone()
        for name, value in network.state_dict().items()
    }
    save_file(state, path)
