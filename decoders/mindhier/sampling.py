"""Drawing a picture scale by scale: guidance, top-k and top-p, smoothing (Switti's ``models/pipeline.py``).

Guidance grows over the scales: with ratio r = k / (K - 1) of scale k = 0 .. K - 1 the logits are
``(1 + s r) conditional - s r null``.  Where it is off, the null rows are not computed.  Every image has a
random generator of its own, and a candidate draws one uniform number per token before any other candidate
does: the first candidate is the same however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.api import ConfigError

from .quantizer import MultiScaleQuantizer
from .scales import rows_of
from .settings import SamplingSettings
from .transformer import Guide, ScaleTransformer


@torch.no_grad()
def sample(
    network: ScaleTransformer,
    quantizer: MultiScaleQuantizer,
    guide: Guide,
    null: Guide | None,
    *,
    generators: Sequence[torch.Generator],
    settings: SamplingSettings,
    candidates: int = 1,
) -> torch.Tensor:
    """Latent images (N, candidates, C, h, w) for the N rows of `guide`, one generator each.

    `null` is one row, or N, of the null condition; None draws without guidance.
    """
    sides, codes = network.settings.sides, network.settings.codes
    scales, device = len(sides), guide.condition.device
    length = sum(side * side for side in sides)
    shape = (candidates, length, codes) if settings.smooth else (candidates, length)
    draws = torch.stack([_uniform(shape, g) for g in generators]).flatten(0, 1).to(device)  # (rows, L, ...)
    own = guide.repeated(candidates)
    rows = len(own.condition)
    if null is None and settings.guidance:
        raise ConfigError("mindhier draws with guidance and has no null condition; set decoder.guidance=0")
    both = own
    if null is not None:
        both = own.joined(null if len(null.condition) == 1 else null.repeated(candidates))
    total = torch.zeros(
        (rows, quantizer.embedding.embedding_dim, sides[-1], sides[-1]), device=device, dtype=torch.float32
    )
    dtype = network.pos_start.dtype
    for scale, places in enumerate(rows_of(sides)):
        inputs = quantizer.shrunk(total, scale).to(dtype) if scale else None
        ratio = scale / max(scales - 1, 1)
        guided = settings.guided(scale, scales)
        if guided:
            doubled = None if inputs is None else torch.cat([inputs, inputs])
            logits, without = network.scale_logits(doubled, scale, both).chunk(2)
            factor = settings.guidance * ratio
            logits = (1 + factor) * logits - factor * without
        else:
            logits = network.scale_logits(inputs, scale, own)
            if settings.last_temperature and scale >= settings.until(scales):
                logits = logits / settings.last_temperature
        uniform = draws[:, places]
        smooth = settings.smooth and settings.smooth_from <= scale < settings.until(scales)
        if smooth:
            vectors = mixed_codes(logits, uniform, ratio) @ quantizer.embedding.weight.float()
        else:
            single = uniform[..., 0] if settings.smooth else uniform
            chosen = draw_codes(logits, single, top_k=settings.top_k, top_p=settings.top_p)
            vectors = quantizer.embedding(chosen)
        with quantizer.exact():
            total = total + quantizer.refined(vectors, scale)
    return total.unflatten(0, (len(generators), candidates))


def draw_codes(logits: torch.Tensor, uniform: torch.Tensor, *, top_k: int, top_p: float) -> torch.Tensor:
    """Logits (..., V) and uniform draws (...) -> code numbers (...).

    Of the `top_k` likeliest codes, those are kept whose predecessors together have less than `top_p`; the
    likeliest always is.
    """
    count = min(top_k, logits.shape[-1]) if top_k else logits.shape[-1]
    values, numbers = logits.float().topk(count, dim=-1)
    shares = values.softmax(-1)
    before = shares.cumsum(-1) - shares
    shares = shares.masked_fill(before >= top_p, 0.0)
    ends = shares.cumsum(-1)
    place = (ends < uniform[..., None] * ends[..., -1:]).sum(-1)
    kept = (shares > 0).sum(-1)
    return numbers.gather(-1, torch.minimum(place, kept - 1)[..., None])[..., 0]


def mixed_codes(logits: torch.Tensor, uniform: torch.Tensor, ratio: float) -> torch.Tensor:
    """Logits and uniform draws (..., V) -> shares of codes, sharper at finer scales."""
    temperature = max(0.27 * (1 - 0.95 * ratio), 0.005)
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
    return ((logits.float() * (1 + ratio) + gumbel) / temperature).softmax(-1)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Draws of each candidate after those of the one before."""
    return torch.stack([torch.rand(shape[1:], generator=generator) for _ in range(shape[0])])
