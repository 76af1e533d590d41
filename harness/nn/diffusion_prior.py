"""The diffusion prior: noisy image tokens, conditioned on backbone tokens -> clean image tokens.

The DALL-E 2 prior (Ramesh et al. 2022) as dalle2-pytorch implements it and MindEye2 uses it:
100 steps of the cosine schedule (Nichol and Dhariwal 2021), the network predicts the clean tokens,
plain squared error, and no scaling of the tokens anywhere.  Sampling with fewer steps is DDIM (Song
et al. 2021) with eta 1; 20 steps are 19 calls of the network, because the last time is -1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from ..api import ConfigError
from .prior_layers import PriorTransformer, TimeEmbedding

Noise = Callable[[], torch.Tensor]
"""Each call gives a fresh standard normal draw of the shape of the sampled tokens."""


@dataclass(frozen=True)
class PriorSettings:
    """Sizes of the prior; the defaults are those of the released models.

    token_dim, tokens : of the image tokens.
    depth, heads, head_size : of the transformer.
    timesteps : of the diffusion it is trained on.
    query : what is learned per token: added to the noisy tokens (``pos_emb``), to all tokens
        (``all_pos_emb``), appended as queries (``token``) or ``none``.
    """

    token_dim: int = 1664
    tokens: int = 256
    depth: int = 6
    heads: int = 32
    head_size: int = 52
    timesteps: int = 100
    query: Literal["pos_emb", "all_pos_emb", "token", "none"] = "pos_emb"

    def __post_init__(self) -> None:
        if self.token_dim < 4 or self.token_dim % 2:
            raise ConfigError(
                f"diffusion prior token_dim is {self.token_dim}; it must be even and at least 4"
            )
        if self.timesteps < 2:
            raise ConfigError(f"diffusion prior timesteps is {self.timesteps}; it must be at least 2")


class PriorNetwork(nn.Module):
    """Predicts clean tokens from [condition | time | noisy tokens]."""

    def __init__(self, settings: PriorSettings) -> None:
        super().__init__()
        s = self.settings = settings
        rows = {"pos_emb": s.tokens, "token": s.tokens, "all_pos_emb": 2 * s.tokens + 1, "none": 0}[s.query]
        if rows:
            spread = 1.0 if s.query == "token" else s.token_dim**-0.5
            self.learned_query = nn.Parameter(torch.randn(rows, s.token_dim) * spread)
        self.null_brain_embeds = nn.Parameter(torch.randn(s.tokens, s.token_dim))
        self.null_image_embed = nn.Parameter(torch.randn(s.tokens, s.token_dim))
        self.to_time_embeds = TimeEmbedding(s.token_dim)
        self.causal_transformer = PriorTransformer(
            s.token_dim, depth=s.depth, heads=s.heads, head_size=s.head_size
        )

    def forward(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        *,
        condition: torch.Tensor,
        drop_condition: torch.Tensor | None = None,
        drop_image: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, tokens, dim) at `time` (B,) -> predicted clean tokens.

        `drop_condition` and `drop_image` are (B,) bool: where True the learned null tokens stand in.
        """
        if drop_condition is not None:
            condition = torch.where(
                drop_condition[:, None, None], self.null_brain_embeds.to(condition.dtype), condition
            )
        if drop_image is not None:
            noisy = torch.where(drop_image[:, None, None], self.null_image_embed.to(noisy.dtype), noisy)
        query = self.settings.query
        if query == "pos_emb":
            noisy = noisy + self.learned_query
        stack = [condition, self.to_time_embeds(time, dtype=noisy.dtype), noisy]
        if query == "token":
            stack.append(self.learned_query.expand(len(noisy), -1, -1))
        tokens = torch.cat(stack, dim=1)
        if query == "all_pos_emb":
            tokens = tokens + self.learned_query
        return self.causal_transformer(tokens)[:, -self.settings.tokens :]

    def guided(
        self, noisy: torch.Tensor, time: torch.Tensor, *, condition: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Classifier-free guidance; MindEye2 samples with `scale` 1, a single call."""
        predicted = self(noisy, time, condition=condition)
        if scale == 1.0:
            return predicted
        every = torch.ones(len(noisy), dtype=torch.bool, device=noisy.device)
        null = self(noisy, time, condition=condition, drop_condition=every, drop_image=every)
        return null + (predicted - null) * scale


class NoiseSchedule(nn.Module):
    """Cosine schedule and what follows from it, as buffers (T,) under the public names."""

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        place = torch.linspace(0, 1, timesteps + 1, dtype=torch.float64, device="cpu")
        level = torch.cos((place + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - level[1:] / level[:-1]).clamp(0, 0.999)
        kept = torch.cumprod(1 - betas, dim=0)
        before = F.pad(kept[:-1], (1, 0), value=1.0)
        variance = betas * (1 - before) / (1 - kept)
        values = {
            "betas": betas,
            "alphas_cumprod": kept,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": kept.sqrt(),
            "sqrt_one_minus_alphas_cumprod": (1 - kept).sqrt(),
            "log_one_minus_alphas_cumprod": (1 - kept).log(),
            "sqrt_recip_alphas_cumprod": (1 / kept).sqrt(),
            "sqrt_recipm1_alphas_cumprod": (1 / kept - 1).sqrt(),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
            "posterior_mean_coef1": betas * before.sqrt() / (1 - kept),
            "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - kept),
            "p2_loss_weight": torch.ones_like(betas),
        }
        for name, value in values.items():
            self.register_buffer(name, value.float())

    def add_noise(self, clean: torch.Tensor, time: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Tokens (B, ...) at `time` (B,)."""
        signal, spread = self.sqrt_alphas_cumprod[time], self.sqrt_one_minus_alphas_cumprod[time]
        shape = (-1, *(1,) * (clean.ndim - 1))
        return signal.view(shape) * clean + spread.view(shape) * noise


class BrainDiffusionPrior(nn.Module):
    """Network and schedule: the training loss and two samplers."""

    def __init__(self, network: PriorNetwork) -> None:
        super().__init__()
        self.noise_scheduler = NoiseSchedule(network.settings.timesteps)
        self.net = network

    def loss(
        self, clean: torch.Tensor, condition: torch.Tensor, *, drop: float = 0.2
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared error of the predicted clean tokens, and the prediction, at random times.

        Condition and noisy tokens are dropped independently with probability `drop`.  Draws come
        from the global generator of the tokens' device.
        """
        batch, device = len(clean), clean.device
        time = torch.randint(0, self.net.settings.timesteps, (batch,), device=device)
        noisy = self.noise_scheduler.add_noise(clean, time, torch.randn_like(clean))
        drop_condition, drop_image = torch.rand(2, batch, device=device) < drop
        predicted = self.net(
            noisy, time, condition=condition, drop_condition=drop_condition, drop_image=drop_image
        )
        return F.mse_loss(predicted, clean), predicted

    @torch.no_grad()
    def sample(
        self, condition: torch.Tensor, *, noise: Noise, steps: int = 20, guidance: float = 1.0
    ) -> torch.Tensor:
        """Clean tokens (B, tokens, dim) for backbone tokens of that shape.

        `steps` below the number of trained steps is DDIM with eta 1, as in the public inference
        code; that number itself is ancestral (DDPM) sampling.
        """
        total = self.net.settings.timesteps
        if not 2 <= steps <= total:
            raise ConfigError(f"diffusion prior steps is {steps}; expected 2 to {total}")
        tokens = noise().to(condition)
        if steps == total:
            return self._sample_ddpm(tokens, condition, noise=noise, guidance=guidance)
        times = ddim_times(steps, total=total)
        for step, after in itertools.pairwise(times):
            tokens = self._ddim_step(tokens, condition, step, after, noise=noise, guidance=guidance)
        return tokens

    def _ddim_step(self, tokens, condition, step: int, after: int, *, noise: Noise, guidance: float):
        s = self.noise_scheduler
        time = torch.full((len(tokens),), step, device=tokens.device)
        clean = self.net.guided(tokens, time, condition=condition, scale=guidance)
        if after < 0:
            return clean
        # The package takes the noise from alphas_cumprod and the step from alphas_cumprod_prev.
        present = (s.sqrt_recip_alphas_cumprod[step] * tokens - clean) / s.sqrt_recipm1_alphas_cumprod[step]
        level, next_level = s.alphas_cumprod_prev[step], s.alphas_cumprod_prev[after]
        fresh = torch.sqrt((1 - level / next_level) * (1 - next_level) / (1 - level))
        stay = torch.sqrt(1 - next_level - fresh**2)
        return next_level.sqrt() * clean + fresh * noise().to(tokens) + stay * present

    def _sample_ddpm(self, tokens, condition, *, noise: Noise, guidance: float):
        for step in reversed(range(self.net.settings.timesteps)):
            tokens = self.reverse_step(tokens, condition, step, noise=noise, guidance=guidance)
        return tokens

    def reverse_step(
        self, tokens: torch.Tensor, condition: torch.Tensor, step: int, *, noise: Noise, guidance: float
    ) -> torch.Tensor:
        """One ancestral step of noisy tokens (B, tokens, dim) at `step`; the last, 0, draws no noise."""
        s = self.noise_scheduler
        time = torch.full((len(tokens),), step, device=tokens.device)
        clean = self.net.guided(tokens, time, condition=condition, scale=guidance)
        tokens = s.posterior_mean_coef1[step] * clean + s.posterior_mean_coef2[step] * tokens
        if step:
            spread = torch.exp(0.5 * s.posterior_log_variance_clipped[step])
            tokens = tokens + spread * noise().to(tokens)
        return tokens


def ddim_times(steps: int, *, total: int) -> list[int]:
    """Times of a DDIM run, falling, -1 last: 20 of 100 are 94, 89, ... 4, -1."""
    rising = torch.linspace(-1.0, total, steps + 1)[:-1]
    return list(reversed(rising.int().tolist()))
