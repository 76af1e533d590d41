"""Stage 2: visual features and Stage 1's cluster responses -> voxels.

A Mamba encoder over one visual token and one token per cluster, a variational latent added to all
of them, a decoder that sees everything and one that corrects cluster by cluster, a fixed blend of
the two, and a scale per image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import MambaStack, positions
from .clusters import Clusters
from .diffusion import ResidualDiffusion
from .losses import correlation, divergence
from .params import ChasmParams

Ablation = Literal["none", "visual", "latent", "holistic", "residual"]


@dataclass(frozen=True)
class Fine:
    """Stage 2's answer for B images.

    voxels : (B, V) standardised responses.
    mean, log_variance : (B, latent), or None without a latent.
    pooled : (B, D) mean of the encoded tokens, latent included.
    """

    voxels: Tensor
    pooled: Tensor
    mean: Tensor | None = None
    log_variance: Tensor | None = None


class ClusterTokens(nn.Module):
    """Responses (B, R) -> tokens (B, R, D): one map for the value, a position per cluster."""

    def __init__(self, width: int, clusters: Sequence[int]) -> None:
        super().__init__()
        self.value = nn.Linear(1, width)
        self.position = nn.ParameterList(positions(count, width) for count in clusters)

    def forward(self, responses: Tensor, subject: int) -> Tensor:
        """Tokens in the order of the clusters."""
        return self.value(responses[..., None]) + self.position[subject]


class Latent(nn.Module):
    """Tokens (B, L, D) -> mean and log variance (B, latent); z goes back into every token (eq. 4-5)."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(width, latent), nn.Linear(width, latent)
        self.inject = nn.Linear(latent, width, bias=False)

    def forward(self, tokens: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(tokens with z, mean, log variance); `noise` (B, latent), or None for z = mean."""
        pooled = tokens.mean(dim=1)
        mean, log_variance = self.mean(pooled), self.log_variance(pooled)
        z = mean if noise is None else mean + (log_variance / 2).exp() * noise
        return tokens + self.inject(z)[:, None], mean, log_variance


class HolisticDecoder(nn.Module):
    """All tokens and learnable queries through Mamba blocks; the queries -> voxels.

    A query reads what a scan's state still holds where it stands.  Appended, all stand at the end, where
    little but the last tenth of the clusters is left (at the start 99 % of their gradient falls there);
    ``spread`` ones each read the tokens around them; ``attention`` lets each read all.
    """

    def __init__(self, params: ChasmParams, voxels: Sequence[int]) -> None:
        super().__init__()
        width = params.refine_width
        self.read = params.holistic_read
        self.queries = positions(params.queries, width)
        if self.read == "attention":
            self.norm = nn.LayerNorm(width)
            self.keys_values = nn.Linear(width, 2 * width)
        else:
            both = params.holistic_scan == "bidirectional"
            self.stack = MambaStack(width, params.decoder_depth, params, bidirectional=both)
        self.hidden = nn.Linear(params.queries * width, params.readout_width)
        self.dropout = nn.Dropout(params.dropout)
        self.maps = nn.ModuleList(nn.Linear(params.readout_width, count) for count in voxels)

    def forward(self, tokens: Tensor, subject: int) -> Tensor:
        """(B, L, D) -> (B, V)."""
        queries = self.queries.expand(len(tokens), -1, -1)
        if self.read == "attention":
            keys, values = self.keys_values(self.norm(tokens)).chunk(2, dim=-1)
            answers = F.scaled_dot_product_attention(queries, keys, values)
        else:
            order, places = self._order(tokens.shape[1], tokens.device)
            answers = self.stack(torch.cat([tokens, queries], dim=1)[:, order])[:, places]
        return self.maps[subject](self.dropout(F.gelu(self.hidden(answers.flatten(1)))))

    def _order(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(L + M,) which of [tokens; queries] stands where, and (M,) where the queries then are."""
        count = self.queries.shape[1]
        sequence = torch.arange(length + count, device=device)
        if self.read == "appended":
            return sequence, sequence[length:]
        after = (torch.arange(1, count + 1, device=device) * length) // count  # tokens before each query
        key = torch.cat([sequence[:length] + 1, after]) * 2  # a query stands after its last token
        key[length:] += 1
        order = key.argsort(stable=True)
        return order, order.argsort()[length:]


class ResidualDecoder(nn.Module):
    """Each cluster's token -> its voxels' deviations from its coarse response (eq. 7)."""

    def __init__(self, params: ChasmParams, clusters: Sequence[Clusters], biases: Sequence[Tensor]) -> None:
        super().__init__()
        width = params.refine_width
        hidden = width // 2
        self.hidden = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(params.dropout)
        self.maps, self.offsets = nn.ParameterList(), nn.ParameterList()
        for number, (each, bias) in enumerate(zip(clusters, biases)):
            copies = each.count if params.residual_maps == "cluster" else 1
            self.maps.append(torch.randn(copies, hidden, each.largest) / hidden**0.5 / 10)
            # Targets lie above their clusters' means by the bias of the top share; begin without it.
            start = bias if copies > 1 else bias.mean()[None]
            self.offsets.append(-start[:, None].expand(copies, each.largest).contiguous())
            self.register_buffer(f"slot{number}", torch.from_numpy(each.slot), persistent=False)

    def forward(self, tokens: Tensor, responses: Tensor, subject: int) -> Tensor:
        """Tokens (B, R, D) and coarse responses (B, R) -> (B, V)."""
        hidden = self.dropout(F.gelu(self.hidden(tokens)))  # (B, R, D / 2)
        deviations = (hidden[:, :, None] @ self.maps[subject])[:, :, 0] + self.offsets[subject]
        table = responses[..., None] + deviations  # (B, R, largest)
        return table.flatten(1)[:, getattr(self, f"slot{subject}")]


class Fusion(nn.Module):
    """One learned share of the holistic decoder, the same for all images (eq. 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(()))

    def forward(self, holistic: Tensor, residual: Tensor) -> Tensor:
        """Both (B, V)."""
        share = self.logit.sigmoid()
        return share * holistic + (1 - share) * residual


class ScaleRecovery(nn.Module):
    """1 + bound * tanh(w . h + b) from the encoded visual token, with a learned bound (eq. 9)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, 1)
        self.bound = nn.Parameter(torch.tensor(0.5))

    def forward(self, visual: Tensor) -> Tensor:
        """(B, D) -> (B, 1)."""
        return 1 + self.bound * self.map(visual).tanh()


class PlainRefiner(nn.Module):
    """Coarse responses and visual features -> voxels by one MLP: the baseline of Table 2b."""

    def __init__(self, params: ChasmParams, visual: int, clusters: Sequence[Clusters]) -> None:
        super().__init__()
        self.visual = nn.Linear(visual, params.readout_width)
        self.responses = nn.ModuleList(
            nn.Linear(each.count, params.readout_width, bias=False) for each in clusters
        )
        self.dropout = nn.Dropout(params.dropout)
        self.maps = nn.ModuleList(nn.Linear(params.readout_width, len(each.label)) for each in clusters)

    def forward(self, visual: Tensor, responses: Tensor, subject: int) -> Fine:
        """As :meth:`Stage2.forward`; ``pooled`` is the hidden layer."""
        hidden = F.gelu(self.visual(visual) + self.responses[subject](responses))
        return Fine(self.maps[subject](self.dropout(hidden)), hidden)


class Stage2(nn.Module):
    """The fine model.  Its direct children are the parts that a parameter table counts.

    visual : length of [CLS; mean patch].  `biases` are Stage 1's (R,) for each subject.
    """

    def __init__(
        self, params: ChasmParams, *, visual: int, clusters: Sequence[Clusters], biases: Sequence[Tensor]
    ) -> None:
        super().__init__()
        self.params = params
        width, counts = params.refine_width, [each.count for each in clusters]
        voxels = [len(each.label) for each in clusters]
        if params.stage2_refiner == "mlp":
            self.refiner = PlainRefiner(params, visual, clusters)
            return
        self.visual_token = nn.Linear(visual, width)
        self.cluster_tokens = ClusterTokens(width, counts)
        self.encoder = MambaStack(width, params.encoder_depth, params)
        if params.stage2_refiner == "dual_vae":
            self.latent = Latent(width, params.latent)
        self.holistic = HolisticDecoder(params, voxels)
        self.residual = ResidualDecoder(params, clusters, biases)
        self.fusion = Fusion()
        self.scale = ScaleRecovery(width)
        if params.stage2_refiner == "dual_diff":
            self.diffusion = ResidualDiffusion(params, voxels)

    def forward(
        self,
        visual: Tensor,
        responses: Tensor,
        subject: int = 0,
        *,
        noise: Tensor | None = None,
        ablation: Ablation = "none",
    ) -> Fine:
        """[CLS; mean patch] (B, D_v) and coarse responses (B, R) -> voxels of `subject`.

        noise : (B, latent) draws for the latent; None takes its mean.
        ablation : of a part, to see what it is worth: the holistic decoder's answer, the visual token or
            the latent are those of another image of the batch, or the residual decoder's are.
        """
        if self.params.stage2_refiner == "mlp":
            return self.refiner(visual, responses, subject)
        # The visual token comes first, so that a causal scan can hand it on; how far it does is for the
        # time constants to decide, and after some tens of clusters little of it is left.
        if ablation == "visual":
            visual = visual.roll(1, dims=0)
        tokens = [self.visual_token(visual)[:, None], self.cluster_tokens(responses, subject)]
        tokens = self.encoder(torch.cat(tokens, dim=1))
        mean = log_variance = None
        if self.params.stage2_refiner == "dual_vae":
            if ablation == "latent":
                _, mean, _ = self.latent(tokens, None)
                tokens = tokens + self.latent.inject(mean.roll(1, dims=0))[:, None]
            else:
                tokens, mean, log_variance = self.latent(tokens, noise)
        holistic = self.holistic(tokens, subject)
        residual = self.residual(tokens[:, 1:], responses, subject)
        if ablation == "holistic":
            holistic = holistic.roll(1, dims=0)
        if ablation == "residual":
            residual = residual.roll(1, dims=0)
        voxels = self.scale(tokens[:, 0]) * self.fusion(holistic, residual)
        return Fine(voxels, tokens.mean(dim=1), mean, log_variance)

    def loss(self, fine: Fine, voxels: Tensor, *, warmth: float = 1.0) -> Mapping[str, Tensor]:
        """The terms of eq. 10, weighted; `warmth` is that of the divergence."""
        p = self.params
        terms = {"mse": F.mse_loss(fine.voxels, voxels)}
        if p.refine_pearson_weight:
            terms["pearson"] = p.refine_pearson_weight * (1 - correlation(fine.voxels, voxels).mean())
        if fine.mean is not None:
            terms["kl"] = warmth * p.kl_weight * divergence(fine.mean, fine.log_variance)
        return terms
