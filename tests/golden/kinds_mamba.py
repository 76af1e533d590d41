"""Checks of Mamba-1 and Mamba-2: values, gradients of every parameter, one-token stepping."""

from __future__ import annotations

import torch
from golden.pairs import Pair, full_size

from harness.nn import mamba2
from harness.nn.mamba1 import Mamba1
from harness.nn.mamba2 import Mamba2


def check_mamba1(pair: Pair) -> None:
    """The layer with the step-by-step scan."""
    options = {name: pair.option(name) for name in ("d_state", "d_conv", "expand")}
    _check(pair, Mamba1(pair.option("d_model"), **options), {"the scan": {}})


def check_mamba2(pair: Pair) -> None:
    """Both forms of the scan, and the one that is chosen by itself."""
    pair.require("norm_before_gate", False)
    chunk = pair.option("chunk_size")
    names = ("d_state", "d_conv", "expand", "headdim", "ngroups", "rmsnorm")
    options = {name: pair.option(name) for name in names}
    layer = Mamba2(pair.option("d_model"), **options, skip_per_channel=pair.option("D_has_hdim"))

    def chunked(*args: torch.Tensor) -> torch.Tensor:
        return mamba2.ssd_chunked(*args, chunk=chunk)

    _check(pair, layer, {"dense": {"scan": mamba2.ssd_dense}, "chunked": {"scan": chunked}, "chosen": {}})


def _check(pair: Pair, layer: torch.nn.Module, forms: dict[str, dict]) -> None:
    pair.load(layer)
    x, probe = pair.tensors("x", "probe")
    shape = pair.option("batch"), pair.option("length"), pair.option("d_model")
    assert tuple(x.shape) == shape
    for how in forms.values():
        layer.zero_grad()
        given = x.clone().requires_grad_()
        out = layer(given, **how)
        loss = (out * probe).sum()
        loss.backward()
        pair.compare("out", out.detach())
        pair.compare("loss", loss.detach(), tolerance=1e-4 * float(out.detach().abs().sum()))
        pair.compare("grad_x", given.grad)
        for name, parameter in layer.named_parameters():
            pair.compare(f"grad_{name}", parameter.grad)
    if pair.has("step_out"):
        memory, steps = None, []
        with torch.no_grad():
            for t in range(x.shape[1]):
                y, memory = layer.step(x[:, t], memory)
                steps.append(y)
        pair.compare("step_out", torch.stack(steps, dim=1))
        pair.compare("final_state", memory.state)


CHECKS = {"Mamba (version 1)": check_mamba1, "Mamba2": check_mamba2}
KEY_LISTS = {"full_mamba2_d512_keys": full_size(lambda: Mamba2(512))}  # mamba-ssm's defaults
