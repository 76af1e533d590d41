"""How large a model is, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from harness.nn.mamba2 import Mamba2


def parameter_table(module: nn.Module) -> dict[str, int]:
    """Part -> number of parameters; the parts are the direct children and share no parameter."""
    return {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()}


def multiply_accumulates(module: nn.Module, call: Callable[[], object]) -> int:
    """Multiply-accumulates of all linear maps and convolutions during `call`, scans excluded."""
    with _counting(module) as counts:
        call()
    return sum(counts)


@contextmanager
def _counting(module: nn.Module) -> Iterator[list[int]]:
    counts: list[int] = []

    def linear(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts.append(output.numel() * layer.in_features)

    def mamba(layer: Mamba2, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts.append(output.shape[:-1].numel() * layer.conv_dim * layer.d_conv)

    handles = []
    for child in module.modules():
        if isinstance(child, nn.Linear):
            handles.append(child.register_forward_hook(linear))
        elif isinstance(child, Mamba2):
            handles.append(child.register_forward_hook(mamba))
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()
