"""Mamba, the first version, in plain PyTorch: a decay per channel and state, both of them selected.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = C_t h_t + D x_t

Gu and Dao 2023 (arXiv:2312.00752).  Names and shapes of the parameters are mamba-ssm's.  The scan runs step
by step, which is exact and slow; :mod:`.mamba2` is what this project trains.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mamba2 import Memory


class Mamba1(nn.Module):
    """Sequence (batch, L, d_model) -> (batch, L, d_model), causal.

    ``in_proj`` gives x and the gate z, ``x_proj`` of the convolved x the rank-`dt_rank` step, B and C.
    Initial values as in mamba-ssm: A = -1 .. -d_state in each channel, steps log-uniform in
    [0.001, 0.1], D one.
    """

    def __init__(self, d_model: int, *, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        self.d_inner, self.d_state, self.d_conv = expand * d_model, d_state, d_conv
        self.dt_rank = math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        steps = torch.exp(torch.rand(self.d_inner) * math.log(0.1 / 0.001) + math.log(0.001))
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # inverse softplus
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(self.d_inner, 1))
        self.D = nn.Parameter(torch.ones(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """See the class."""
        x, z = self.in_proj(u).chunk(2, dim=-1)
        x = F.silu(self.conv1d(x.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        state, outputs = x.new_zeros(len(u), self.d_inner, self.d_state), []
        for step in range(u.shape[1]):
            state, y = self._scanned(x[:, step], state)
            outputs.append(y)
        return self.out_proj(torch.stack(outputs, dim=1) * F.silu(z))

    def step(self, u: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """One step (batch, d_model) after `memory`, None at the start -> its output and the new memory."""
        if memory is None:
            memory = Memory(
                u.new_zeros(len(u), self.d_conv, self.d_inner),
                u.new_zeros(len(u), self.d_inner, self.d_state),
            )
        x, z = self.in_proj(u).chunk(2, dim=-1)
        inputs = torch.cat([memory.inputs[:, 1:], x[:, None]], dim=1)
        x = F.silu((inputs * self.conv1d.weight[:, 0].T).sum(dim=1) + self.conv1d.bias)
        state, y = self._scanned(x, memory.state)
        return self.out_proj(y * F.silu(z)), Memory(inputs, state)

    def _scanned(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Convolved x (batch, d_inner) and the state before it -> the state after it, and y."""
        dt, B, C = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        dt = F.softplus(self.dt_proj(dt))[..., None]
        state = (-dt * self.A_log.exp()).exp() * state + dt * x[..., None] * B[:, None]
        return state, (state * C[:, None]).sum(dim=-1) + self.D * x
