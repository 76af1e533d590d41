"""Operations, bytes and peak memory of a computation, counted on the meta device without doing it.

What is counted is the graph that eager torch would run: every operator reads its inputs and writes its
outputs.  Products (matrices, convolutions, attention) are counted by torch's own formulas, two operations
for a multiplication with its addition; everything else counts none.  Attention is counted as a fused kernel
runs it, its matrix of weights never in memory.  Nothing here is measured.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .costs import Count

NOTHING = Count(0, 0, 0)

_ROOM_ALONE = (torch.ops.aten.empty, torch.ops.aten.new_empty, torch.ops.aten.empty_like)
"""Operators that make a tensor and neither read nor write."""


def count(compute: Callable[..., Any], *args: Any, **more: Any) -> Count:
    """Of ``compute(*args, **more)``, whose tensors and weights are on the meta device, without gradients."""
    counter = _Counter()
    with torch.no_grad(), _FusedAttention(counter), counter:
        compute(*args, **more)
    return Count(counter.operations, counter.traffic, counter.most)


def weight_bytes(*modules: nn.Module) -> int:
    """Bytes of parameters and buffers, those that are shared counted once."""
    held = {id(value): value for module in modules for value in _held(module)}
    return sum(value.nbytes for value in held.values())


def _held(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _described(value: Any) -> tuple[Any, ...]:
    """What a meta kernel reads of `value`: of a tensor its shape, strides and kind."""
    if isinstance(value, Tensor):
        return (Tensor, value.shape, value.stride(), value.dtype, value.device)
    if isinstance(value, dict):
        return (dict, *((name, _described(value[name])) for name in sorted(value)))
    if isinstance(value, list | tuple):
        return (type(value), *map(_described, value))
    return (type(value), value)


def _are_new(results: tuple[Any, ...], there: set[int]) -> bool:
    """Whether `results` are tensors of the meta device, each in a storage of its own and none of `there`."""
    if not all(isinstance(result, Tensor) and result.is_meta for result in results):
        return False
    own = {result.untyped_storage()._cdata for result in results}
    return len(own) == len(results) and not own & there


class _Counter(TorchDispatchMode):
    """Sees every operator below autograd; tensors live as long as their storage does."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.traffic = self.alive = self.most = 0
        self._held: set[int] = set()
        self._seen: dict[Any, Any] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = {tensor.untyped_storage()._cdata for tensor in given}
        result = self._result(func, args, kwargs, there)
        packet = func._overloadpacket
        if packet in flop_registry:
            self.operations += flop_registry[packet](*args, **kwargs, out_val=result)
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if not func.is_view and packet not in _ROOM_ALONE:
            self.traffic += sum(tensor.nbytes for tensor in (*given, *results))
        for tensor in results:
            if tensor.untyped_storage()._cdata not in there:
                self._hold(tensor)
        return result

    def _result(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], there: set[int]) -> Any:
        """``func(*args, **kwargs)``; what was seen with such tensors before, of its shapes alone.

        Most of the time goes into torch's meta kernels, and layers that are equal ask them for the same.
        there : storages of what is given; a result that shares one is not made anew.
        """
        try:
            key = (func, _described(args), _described(kwargs))
            seen = self._seen.get(key)
        except TypeError:  # an argument without a hash
            return func(*args, **kwargs)
        if seen is None:
            result = func(*args, **kwargs)
            results = result if isinstance(result, tuple) else (result,)
            if _are_new(results, there):
                self._seen[key] = (isinstance(result, tuple), [_described(tensor)[1:] for tensor in results])
            return result
        several, tensors = seen
        fresh = tuple(
            torch.empty_strided(shape, strides, dtype=dtype, device=device)
            for shape, strides, dtype, device in tensors
        )
        return fresh if several else fresh[0]

    def _hold(self, tensor: Tensor) -> None:
        """Count a new tensor's storage until it is gone."""
        storage = tensor.untyped_storage()
        if storage._cdata in self._held:
            return
        key, size = storage._cdata, storage.nbytes()
        self._held.add(key)
        self.alive += size
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._held.discard(key)
        self.alive -= size


class _FusedAttention(TorchFunctionMode):
    """Stands for ``scaled_dot_product_attention``, which the meta device would write out."""

    def __init__(self, counter: _Counter) -> None:
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args[:3] if len(args) > 2 else (*args, *(kwargs or {}).values())[:3]
        mixed = query.new_empty((*query.shape[:-1], value.shape[-1]))
        rows = query[..., 0].numel()
        self.counter.operations += 2 * rows * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        self.counter.traffic += sum(tensor.nbytes for tensor in (query, key, value, mixed))
        return mixed
