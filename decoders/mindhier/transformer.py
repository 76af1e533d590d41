"""Switti's scale-wise transformer (Voronov et al. 2024, arXiv:2412.01819), as MindHier conditions it.

All tokens of a scale are predicted at once from the sum of the scales before; a scale attends to itself
alone, so there is no cache of earlier scales.  Layout and key names are those of
github.com/yandex-research/switti (``models/switti.py``, ``basic_switti.py``); MindHier's differ in one name
(``fmri_pooler``) and two widths.

The original trains with dense masks over all tokens: one that keeps scales apart, one that lets a scale see
its level of the hierarchy.  Here each scale is computed on its own rows with its own level's keys and values,
which gives the same numbers without a mask (:meth:`ScaleTransformer.dense` is there to compare with), and is
right at sampling, where the released code takes rows of the mask that belong to other scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from harness.api import ConfigError

from .layers import Block, FourierSizes, HeadNorm, rotary
from .scales import SIDES_512, check_sides, level_of, rows_of


@dataclass(frozen=True)
class TransformerSettings:
    """Sizes; the defaults are MindHier's at 512 pixels.

    depth, width, heads : of the blocks.
    codes, code_channels : of the VQ-VAE's codebook.
    sides : of the scales.
    context_width, pooled_width : of the tokens that are attended to, and of the vector of the whole.
    pooler : name of the layer that reads the vector: ``fmri_pooler``, or Switti's ``text_pooler``.
    crop_condition : Switti's condition on size and crop, which MindHier leaves out.
    rope_size, rope_theta : of the rotary positions.
    """

    depth: int = 30
    width: int = 1920
    heads: int = 30
    codes: int = 4096
    code_channels: int = 32
    sides: tuple[int, ...] = SIDES_512
    context_width: int = 768
    pooled_width: int = 768
    pooler: str = "fmri_pooler"
    crop_condition: bool = False
    rope_size: int = 128
    rope_theta: float = 10000.0

    def __post_init__(self) -> None:
        check_sides(self.sides)
        if self.width % self.heads or self.width // self.heads % 4:
            raise ConfigError(
                f"mindhier's transformer has width {self.width} and {self.heads} heads; the width of a head "
                "must be a multiple of 4"
            )
        if self.crop_condition and self.width % 8:
            raise ConfigError(f"mindhier's crop condition needs a width that 8 divides; got {self.width}")


@dataclass(frozen=True)
class Guide:
    """Keys, values and modulation of B rows, computed once and used at every scale.

    levels : per block and per segment of the hierarchy, in the order in which scales meet them.
    """

    condition: torch.Tensor  # (B, width)
    modulation: list[tuple[torch.Tensor, ...]]
    levels: list[list[tuple[torch.Tensor, torch.Tensor]]]

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Guide:
        """With every tensor changed along its rows."""
        return Guide(
            change(self.condition),
            [tuple(change(part) for part in block) for block in self.modulation],
            [[(change(k), change(v)) for k, v in block] for block in self.levels],
        )

    def first(self, rows: int) -> Guide:
        """Of the first `rows` rows."""
        return self.changed(lambda x: x[:rows])

    def repeated(self, times: int) -> Guide:
        """Every row `times` times in a row."""
        return self if times == 1 else self.changed(lambda x: x.repeat_interleave(times, dim=0))

    def bytes(self) -> int:
        """Of all its tensors."""
        total = 0

        def add(x: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += x.nbytes
            return x

        self.changed(add)
        return total

    def joined(self, other: Guide) -> Guide:
        """These rows, then those of `other`; a single row of it stands for as many as are here."""
        rows = len(self.condition)

        def cat(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.cat([a, b.expand(rows, *b.shape[1:]) if len(b) == 1 else b])

        return Guide(
            cat(self.condition, other.condition),
            [tuple(map(cat, own, theirs)) for own, theirs in zip(self.modulation, other.modulation)],
            [
                [(cat(k, k2), cat(v, v2)) for (k, v), (k2, v2) in zip(own, theirs)]
                for own, theirs in zip(self.levels, other.levels)
            ],
        )


def masks(settings: TransformerSettings) -> dict[str, torch.Tensor]:
    """The tensors of public files that follow from the sides: the scale of each row, and which rows see
    each other."""
    scale_of_row = torch.cat([torch.full((side * side,), k) for k, side in enumerate(settings.sides)])
    apart = scale_of_row[:, None] != scale_of_row[None, :]
    bias = torch.zeros(apart.shape).masked_fill(apart, -torch.inf)
    return {"lvl_1L": scale_of_row[None], "attn_bias_for_masking": bias[None, None]}


class ScaleTransformer(nn.Module):
    """Running sums of the scales before -> logits of the codes of each scale.

    A context is a sequence of segments (B, n, context_width); scale k of K reads segment
    floor(len(segments) (k - 1) / K), so with e_M first it reads e_{h_k} (:func:`.scales.level_of`), and with
    one segment all scales read the same.
    """

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.pos_start = nn.Parameter(torch.empty(1, 1, s.width))
        for name, value in masks(s).items():
            self.register_buffer(name, value)
        self.word_embed = nn.Linear(s.code_channels, s.width)
        setattr(self, s.pooler, nn.Linear(s.pooled_width, s.width))
        self.lvl_embed = nn.Embedding(len(s.sides), s.width)
        self.blocks = nn.ModuleList(
            Block(s.width, s.heads, s.context_width, crop=s.crop_condition) for _ in range(s.depth)
        )
        if s.crop_condition:
            self.crop_embed = FourierSizes(s.width // 8)
            self.crop_proj = nn.Linear(s.width, s.width)
        self.head_nm = HeadNorm(s.width)
        self.head = nn.Linear(s.width, s.codes)
        self._turns: dict[tuple[int, torch.device], torch.Tensor] = {}

    def start(self, *, gate: float = 1e-5) -> None:
        """Draw initial weights as VAR does; `gate` is the size of the gates' rows, larger for short runs."""
        spread = (1 / self.settings.width / 3) ** 0.5
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.trunc_normal_(module.weight, std=spread)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_start, std=spread)
        with torch.no_grad():
            self.head.weight.mul_(0.02)
            self.head_nm.ada_lin[1].weight.mul_(0.5)
            gates = 2 * self.settings.width
            for block in self.blocks:
                block.ada_lin[1].weight[gates:].mul_(0.5)
                block.ada_lin[1].weight[:gates].mul_(gate)
                for part in (block.attn, block.cross_attn):
                    part.proj.weight.div_((2 * self.settings.depth) ** 0.5)

    def turns(self, scale: int) -> torch.Tensor:
        """Rotary positions of a scale, kept per device."""
        s, device = self.settings, self.pos_start.device
        key = (s.sides[scale], device)
        if key not in self._turns:
            self._turns[key] = rotary(
                s.sides[scale],
                head=s.width // s.heads,
                size=s.rope_size,
                theta=s.rope_theta,
                device=device,
            )
        return self._turns[key]

    def segment(self, scale: int, segments: int) -> int:
        """Which of `segments` guides scale 0 .. K - 1."""
        return segments - level_of(scale + 1, scales=len(self.settings.sides), levels=segments)

    def guide(
        self, pooled: torch.Tensor, context: Sequence[torch.Tensor], crop: torch.Tensor | None = None
    ) -> Guide:
        """Pooled (B, pooled_width), segments of context, crop (B, 4) -> what all scales share."""
        condition = getattr(self, self.settings.pooler)(pooled)
        cropped = None
        if self.settings.crop_condition and crop is not None:
            cropped = self.crop_proj(self.crop_embed(crop).to(condition.dtype))
        return Guide(
            condition,
            [block.modulation(condition, cropped) for block in self.blocks],
            [[block.keys_values(part) for part in context] for block in self.blocks],
        )

    def embedded(self, inputs: torch.Tensor | None, scale: int, guide: Guide) -> torch.Tensor:
        """Shrunk sums (B, side^2, code_channels), None for the first scale -> (B, side^2, width)."""
        level = self.lvl_embed.weight[scale]
        if scale == 0:
            return guide.condition[:, None] + self.pos_start + level
        return self.word_embed(inputs) + level

    def scale_logits(
        self,
        inputs: torch.Tensor | None,
        scale: int,
        guide: Guide,
        *,
        context_bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits (B, side^2, codes) of one scale; `context_bias` (B, 1, 1, n) is added to attention."""
        x, turns = self.embedded(inputs, scale, guide), self.turns(scale)
        for block, modulation, levels in zip(self.blocks, guide.modulation, guide.levels):
            kv = levels[self.segment(scale, len(levels))]
            x = block(x, modulation, kv, turns, cross_mask=context_bias)
        return self.head(self.head_nm(x, guide.condition).float())

    def forward(
        self,
        inputs: torch.Tensor,
        pooled: torch.Tensor,
        context: Sequence[torch.Tensor],
        *,
        crop: torch.Tensor | None = None,
        context_bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Teacher forcing: inputs (B, L - 1, code_channels) of scales 2 .. K -> logits (B, L, codes)."""
        guide = self.guide(pooled, context, crop)
        parts = []
        for scale, rows in enumerate(rows_of(self.settings.sides)):
            own = inputs[:, rows.start - 1 : rows.stop - 1] if scale else None
            parts.append(self.scale_logits(own, scale, guide, context_bias=context_bias))
        return torch.cat(parts, dim=1)

    def dense(
        self, inputs: torch.Tensor, pooled: torch.Tensor, context: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """The same as :meth:`forward` with masks over all tokens and all segments, as published."""
        s, rows = self.settings, rows_of(self.settings.sides)
        guide = self.guide(pooled, [torch.cat(list(context), dim=1)])
        pieces = [self.embedded(None, 0, guide)]
        pieces += [
            self.embedded(inputs[:, r.start - 1 : r.stop - 1], k, guide) for k, r in enumerate(rows) if k
        ]
        x = torch.cat(pieces, dim=1)
        turns = torch.cat([self.turns(k) for k in range(len(s.sides))])
        ends = [0, *torch.tensor([part.shape[1] for part in context]).cumsum(0).tolist()]
        cross = x.new_full((x.shape[1], ends[-1]), -torch.inf)
        for scale, r in enumerate(rows):
            own = self.segment(scale, len(context))
            cross[r, ends[own] : ends[own + 1]] = 0
        for block, modulation, levels in zip(self.blocks, guide.modulation, guide.levels):
            mask = self.attn_bias_for_masking.to(x.dtype)
            x = block(x, modulation, levels[0], turns, self_mask=mask, cross_mask=cross)
        return self.head(self.head_nm(x, guide.condition).float())
