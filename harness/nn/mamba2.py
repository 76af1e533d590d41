"""Mamba-2 in plain PyTorch: a selective state space layer with a scalar decay per head and step.

    h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T        y_t = h_t C_t + D x_t

Dao and Gu 2024, "Transformers are SSMs".  Parameters carry mamba-ssm's names and shapes, so that
weights of either load in the other.  The scan has two exact forms, a masked matrix product for short
sequences and their section 6 block decomposition for long ones; both keep decays in float32.  On
CUDA mamba-ssm's kernel takes over where it is installed (extra ``mamba``) and proves itself on a small
problem of the same sizes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)

DENSE_LENGTH = 128
"""Up to this length one L x L product is faster on a CPU than chunks are."""

CHUNK = 64

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def ssd_dense(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The scan as one causal matrix product over all pairs of steps.

    x : (batch, L, heads, P); dt : (batch, L, heads), positive; A : (heads,), negative;
    B, C : (batch, L, groups, N), each group serves heads / groups neighbouring heads.
    Returns (batch, L, heads, P), without the D x term.
    """
    decays = (dt * A).cumsum(dim=1).transpose(1, 2)  # (batch, heads, L)
    return _pairs(x * dt[..., None], decays, B, C)


def ssd_chunked(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *, chunk: int = CHUNK) -> Tensor:
    """The scan in blocks of `chunk` steps with a state handed on; shapes as in :func:`ssd_dense`."""
    batch, length, heads, _ = x.shape
    if missing := -length % chunk:
        # Steps with dt = 0 neither decay the state nor add to it.
        x, dt, B, C = (F.pad(t, (0, 0) * (t.ndim - 2) + (0, missing)) for t in (x, dt, B, C))
    share = heads // B.shape[2]
    x, dt, B, C = (t.unflatten(1, (-1, chunk)) for t in (x * dt[..., None], dt, B, C))
    decays = (dt * A).cumsum(dim=2).movedim(3, 2)  # (batch, chunks, heads, chunk)
    flat = [t.flatten(0, 1) for t in (x, decays, B, C)]
    within = _pairs(*flat).unflatten(0, (batch, -1))
    to_end = (decays[..., -1:] - decays).exp().movedim(2, 3)  # (batch, chunks, chunk, heads)
    B, C = (t.repeat_interleave(share, dim=3) for t in (B, C))
    added = torch.einsum("bcthn,bcthp->bchpn", B * to_end[..., None], x)
    kept = decays[..., -1].exp()[..., None, None]  # (batch, chunks, heads, 1, 1)
    state, before = torch.zeros_like(added[:, 0]), []
    for k in range(added.shape[1]):
        before.append(state)
        state = kept[:, k] * state + added[:, k]
    from_start = decays.exp().movedim(2, 3)[..., None]
    carried = torch.einsum("bcthn,bchpn->bcthp", C * from_start, torch.stack(before, dim=1))
    return (within + carried).flatten(1, 2)[:, :length]


def _pairs(x: Tensor, decays: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """sum_j<=i (C_i . B_j) exp(decays_i - decays_j) x_j, with decays (batch, heads, L)."""
    length, groups = B.shape[1:3]
    later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    gaps = (decays[..., :, None] - decays[..., None, :]).masked_fill(later, -torch.inf)
    alike = C.transpose(1, 2) @ B.permute(0, 2, 3, 1)  # (batch, groups, L, L)
    mixing = gaps.exp().unflatten(1, (groups, -1)) * alike[:, :, None]
    return (mixing.flatten(1, 2) @ x.transpose(1, 2)).transpose(1, 2)


def scan_for(x: Tensor, B: Tensor) -> Scan:
    """The fastest scan that works for x (batch, L, heads, P) and B (batch, L, groups, N) where they are."""
    fused = fused_scan(str(x.device), *x.shape[2:], *B.shape[2:]) if x.device.type == "cuda" else None
    return fused or (ssd_dense if x.shape[1] <= DENSE_LENGTH else ssd_chunked)


@lru_cache(maxsize=32)
def fused_scan(device: str, heads: int, width: int, groups: int, states: int) -> Scan | None:
    """mamba-ssm's kernel, or None unless it runs on `device` now and agrees with :func:`ssd_dense`.

    `heads` of `width` and `groups` of `states` are the sizes that it is tried at, since it is compiled for
    each.  That the package imports proves nothing: its wheels install without compiled kernels, and some
    builds have been silently wrong on new cards, in values or in gradients.
    """
    try:
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

        def scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
            values = (x.contiguous(), dt.contiguous(), A, B.contiguous(), C.contiguous())
            return mamba_chunk_scan_combined(*values, CHUNK)

        generator = torch.Generator().manual_seed(0)
        length = CHUNK + 16  # a whole block and a part of one
        per_group = (2, length, groups, states)
        shapes = ((2, length, heads, width), (2, length, heads), (heads,), per_group, per_group)
        # The first call may come from a prediction, where nothing can be differentiated.
        with torch.inference_mode(False), torch.enable_grad():
            x, dt, A, B, C = (torch.randn(s, generator=generator).to(device) for s in shapes)
            problem = (x, F.softplus(dt), -A.exp(), B, C)
            expected, results = (
                _values_and_gradients(ssd_dense, problem),
                _values_and_gradients(scan, problem),
            )
        for what, allowed, result, true in zip(CHECKED, ALLOWED, results, expected):
            error = float((result - true).abs().max() / true.abs().max())
            if not error < allowed:
                raise ArithmeticError(f"the relative error of its {what} is {error:.2g}")
    except Exception as reason:  # whatever a broken build raises, PyTorch gives the same numbers
        logger.info("mamba-ssm is not used on %s: %s: %s", device, type(reason).__name__, reason)
        return None
    return scan


CHECKED = ("values", *(f"gradient by {name}" for name in ("x", "dt", "A", "B", "C")))
ALLOWED = (1e-2, *[5e-2] * 5)
"""Relative errors, since its products are in TF32; a gradient is a product of such products."""


def _values_and_gradients(scan: Scan, problem: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What `scan` gives, and the gradients of the mean of its squares by each of its arguments."""
    leaves = [value.detach().requires_grad_() for value in problem]
    values = scan(*leaves)
    return values.detach(), *torch.autograd.grad(values.square().mean(), leaves)


class GatedRMSNorm(nn.Module):
    """RMS normalisation of y * silu(z) within each group of channels."""

    def __init__(self, channels: int, *, groups: int = 1, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.groups, self.eps = groups, eps

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        """(..., channels) of signal and gate."""
        gated = (y.float() * F.silu(z.float())).unflatten(-1, (self.groups, -1))
        scaled = gated * torch.rsqrt(gated.square().mean(dim=-1, keepdim=True) + self.eps)
        return self.weight * scaled.flatten(-2)


@dataclass(frozen=True)
class Memory:
    """What a layer carries from one step to the next: the last inputs of its convolution (batch, d_conv,
    channels), newest last, and the state."""

    inputs: Tensor
    state: Tensor


class Mamba2(nn.Module):
    """Sequence (batch, L, d_model) -> (batch, L, d_model), causal.

    ``in_proj`` gives, in this order, gate z, (x, B, C) and dt; ``conv1d`` is depthwise and causal
    over (x, B, C).  Initial values as in mamba-ssm: A uniform in [1, 16], steps dt log-uniform in
    [0.001, 0.1], D one.

    rmsnorm : normalise the gated output; else it is gated alone.
    skip_per_channel : a D for each channel instead of each head (mamba-ssm's ``D_has_hdim``).
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 128,
        d_conv: int = 4,
        expand: int = 2,
        headdim: int = 64,
        ngroups: int = 1,
        rmsnorm: bool = True,
        skip_per_channel: bool = False,
    ) -> None:
        super().__init__()
        self.d_inner = expand * d_model
        if self.d_inner % headdim or (self.d_inner // headdim) % ngroups:
            raise ValueError(
                f"{self.d_inner} inner channels cannot be cut into heads of {headdim} in {ngroups} groups"
            )
        self.d_model, self.d_state, self.d_conv, self.ngroups = d_model, d_state, d_conv, ngroups
        self.headdim, self.nheads = headdim, self.d_inner // headdim
        self.conv_dim = self.d_inner + 2 * ngroups * d_state
        self.in_proj = nn.Linear(d_model, self.d_inner + self.conv_dim + self.nheads, bias=False)
        self.conv1d = nn.Conv1d(
            self.conv_dim, self.conv_dim, d_conv, groups=self.conv_dim, padding=d_conv - 1
        )
        steps = torch.exp(torch.rand(self.nheads) * math.log(0.1 / 0.001) + math.log(0.001))
        self.dt_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # inverse softplus
        self.A_log = nn.Parameter(torch.empty(self.nheads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(self.d_inner if skip_per_channel else self.nheads))
        self.norm = GatedRMSNorm(self.d_inner, groups=ngroups) if rmsnorm else None
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)

    def forward(self, u: Tensor, *, scan: Scan | None = None) -> Tensor:
        """`scan` overrides the choice of :func:`scan_for`."""
        z, xBC, dt = self.in_proj(u).split([self.d_inner, self.conv_dim, self.nheads], dim=-1)
        x, B, C = self._parts(F.silu(self._convolved(xBC)))
        dt = F.softplus(dt.float() + self.dt_bias)
        y = (scan or scan_for(x, B))(x, dt, -self.A_log.float().exp(), B, C)
        return self._out(y, x, z, u.dtype)

    def step(self, u: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """One step (batch, d_model) after `memory`, None at the start -> its output and the new memory."""
        batch = len(u)
        if memory is None:
            memory = Memory(
                u.new_zeros(batch, self.d_conv, self.conv_dim),
                u.new_zeros(batch, self.nheads, self.headdim, self.d_state, dtype=torch.float32),
            )
        z, xBC, dt = self.in_proj(u).split([self.d_inner, self.conv_dim, self.nheads], dim=-1)
        inputs = torch.cat([memory.inputs[:, 1:], xBC[:, None]], dim=1)
        xBC = (inputs * self.conv1d.weight[:, 0].T).sum(dim=1) + self.conv1d.bias
        x, B, C = self._parts(F.silu(xBC))
        B, C = (t.repeat_interleave(self.nheads // self.ngroups, dim=1) for t in (B, C))
        dt = F.softplus(dt.float() + self.dt_bias)
        kept = (-dt * self.A_log.float().exp()).exp()[..., None, None]
        state = kept * memory.state + (dt[..., None] * x)[..., None] * B[:, :, None]
        y = (state * C[:, :, None]).sum(dim=-1)
        return self._out(y, x, z, u.dtype), Memory(inputs, state)

    def _parts(self, xBC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (..., heads, P) and B, C (..., groups, N), float32."""
        states = self.ngroups * self.d_state
        x, B, C = (t.float() for t in xBC.split([self.d_inner, states, states], dim=-1))
        B, C = (t.unflatten(-1, (self.ngroups, self.d_state)) for t in (B, C))
        return x.unflatten(-1, (self.nheads, self.headdim)), B, C

    def _out(self, y: Tensor, x: Tensor, z: Tensor, dtype: torch.dtype) -> Tensor:
        """What is scanned, D x, gate, norm and last map."""
        y = (y + self.D.view(self.nheads, -1) * x).flatten(-2)
        y = y * F.silu(z.float()) if self.norm is None else self.norm(y, z)
        return self.out_proj(y.to(dtype))

    def _convolved(self, x: Tensor) -> Tensor:
        """Causal depthwise convolution over (batch, L, channels), as shifted sums: no transpose."""
        length, taps = x.shape[1], self.conv1d.weight[:, 0].T  # (d_conv, channels)
        padded = F.pad(x, (0, 0, self.d_conv - 1, 0))
        out = torch.addcmul(self.conv1d.bias, padded[:, :length], taps[0])
        for k in range(1, self.d_conv):
            out = torch.addcmul(out, padded[:, k : k + length], taps[k])
        return out
