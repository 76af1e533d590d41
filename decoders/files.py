"""Files of networks: found or named in one line with how to get them, told apart, loaded exactly, kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.api import DataError, WeightsMissing

if TYPE_CHECKING:
    import torch
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")

SAMPLED, BLOCK = 64, 1 << 20
"""Blocks of a file that tell it from others, and their size."""


def public_folder(given: str, *, holds: str) -> Path:
    """The folder that ``decoder.weights`` names; `holds` says what is expected in it."""
    folder = Path(given).expanduser()
    if not given or not folder.is_dir():
        what = (
            f"decoder.weights is {given!r}, which is no folder" if given else "decoder.weights is not given"
        )
        raise WeightsMissing(
            f"{what}; expected the folder with {holds}, --set decoder.weights=FOLDER, or --set "
            "decoder.preset=tiny for the small parts"
        )
    return folder


def needed(file: Path, source: str, without: str) -> Path:
    """`file` of the repository `source`, or :class:`WeightsMissing`, saying how to do `without`."""
    if not file.is_file():
        raise WeightsMissing(
            f"{file} is not there; download it from {source} on Hugging Face, or choose {without}"
        )
    return file


def absent(checks: Iterable[Callable[[], object]]) -> list[str]:
    """The line of each of `checks` that raises :class:`WeightsMissing`."""
    lines = []
    for check in checks:
        try:
            check()
        except WeightsMissing as problem:
            lines.append(str(problem))
    return lines


def add_samples(total: Any, files: Iterable[Path]) -> None:
    """Update the hash `total` with name, size and :data:`SAMPLED` blocks spread over each file."""
    for file in files:
        size = file.stat().st_size
        total.update(f"{file.name}|{size}|".encode())
        with file.open("rb") as stream:
            for block in range(SAMPLED):
                stream.seek(block * max(size - BLOCK, 0) // (SAMPLED - 1))
                total.update(stream.read(BLOCK))


def check_exactly(module: nn.Module, weights: Mapping[str, torch.Tensor], *, what: str) -> None:
    """DataError, in one line, unless `weights` have exactly the names and shapes of `module`."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or extra:
        lacks = f"lacks '{missing[0]}' and {len(missing) - 1} more" if missing else "lacks nothing"
        has = f"has '{extra[0]}' and {len(extra) - 1} more that it should not" if extra else "has no other"
        raise DataError(f"weights of {what}: {lacks}; {has}; do the sizes in the configuration fit the file?")
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise DataError(
                f"weights of {what}: '{name}' has shape {tuple(value.shape)}, expected "
                f"{tuple(own[name].shape)}; set the sizes that the file was trained with"
            )


def load_exactly(module: nn.Module, weights: Mapping[str, torch.Tensor], *, what: str) -> None:
    """Load with every name and shape in its place, or say which one is not (:func:`check_exactly`)."""
    check_exactly(module, weights, what=what)
    module.load_state_dict(dict(weights), strict=True)


def loaded(build: Callable[[], Network], weights: Mapping[str, torch.Tensor], *, what: str) -> Network:
    """The network of `build` with exactly `weights` on the CPU, in evaluation mode; draws nothing.

    `weights` of other names or shapes are a :class:`harness.errors.DataError`, in one line.
    """
    import torch

    with torch.device("meta"):
        network = build()
    check_exactly(network, weights, what=what)
    network = network.to_empty(device="cpu")
    network.load_state_dict(dict(weights))
    return network.eval()


def save(network: nn.Module, file: Path) -> None:
    """Write the weights under their public names."""
    from safetensors.torch import save_file

    save_file({name: value.detach().cpu().clone() for name, value in network.state_dict().items()}, file)
