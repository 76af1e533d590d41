"""Half precision for decoding: which weights are stored so, and under what they are used.

Two ways.  :func:`halve_products` stores the weights of matrix products and convolutions in half precision, as
autocast would cast them anyway, and leaves everything else in float32; under :func:`half_products` the result
is autocast's, in half the memory.  A network that was made for it is halved whole (:func:`cast`) and
run under :func:`safe_attention` alone: no casts, no norms in float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Precisions by the names that parameters have."""

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def halve_products(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`module` with the weights and biases of its linear layers and convolutions in `dtype`."""
    for layer in module.modules():
        if isinstance(layer, _PRODUCTS):
            layer.to(dtype)
    return module


def cast(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`module` in `dtype`, all of it; torch's own way, without what diffusers' networks say about it."""
    return nn.Module.to(module, dtype=dtype)


@contextlib.contextmanager
def safe_attention(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Torch's fused attention where it can run in `dtype`, attention written out where it cannot.

    On the processor the fused one in half precision packs numbers as only AVX-512 can, and raises elsewhere.
    """
    half = dtype in (torch.float16, torch.bfloat16)
    fused = device.type != "cpu" or "AVX512" in torch.backends.cpu.get_cpu_capability()
    with contextlib.nullcontext() if fused or not half else sdpa_kernel([SDPBackend.MATH]):
        yield


@contextlib.contextmanager
def half_products(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Matrix products in `dtype` on `device`, norms and softmax in float32; nothing where it is float32."""
    half = dtype != torch.float32
    with torch.autocast(device.type, dtype=dtype, enabled=half), safe_attention(device, dtype):
        yield
