"""Pictures to codes and back: what encoding gives is what codes rebuild."""

from __future__ import annotations

import torch

from harness.decoders.mindhier.scales import rows_of
from harness.decoders.mindhier.vqvae import VQVAE, VqVaeSettings

SIZES = VqVaeSettings(
    codes=30, code_channels=6, sides=(1, 2, 4), channels=8, multipliers=(1, 2, 2), blocks=1, norm_groups=4
)


def build() -> VQVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VQVAE(SIZES).eval()


@torch.no_grad()
def test_codes_rebuild_the_sums_that_encoding_gave():
    network, pictures = build(), torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    result = network.quantize(network.features(pictures))
    assert SIZES.picture == 16
    assert result.codes.shape == (2, 21)
    for own, again in zip(result.running, network.quantize.sums(result.codes)):
        torch.testing.assert_close(own, again)
    inputs, rows = network.quantize.next_inputs(result.codes), rows_of(SIZES.sides)
    assert inputs.shape == (2, 20, 6)
    torch.testing.assert_close(inputs[:, :4], network.quantize.shrunk(result.running[0], 1))
    torch.testing.assert_close(inputs[:, 4:], network.quantize.shrunk(result.running[1], 2))
    assert rows[-1].stop == 21


@torch.no_grad()
def test_codes_do_not_change_under_half_precision():
    network, features = build(), torch.randn(8, 6, 4, 4, generator=torch.Generator().manual_seed(2))
    plain = network.quantize(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network.quantize(features)
    assert torch.equal(plain.codes, half.codes)
    assert torch.equal(plain.running[-1], half.running[-1])


def test_a_training_step_moves_codes_towards_features():
    network = build().quantize
    features = torch.randn(16, 6, 4, 4, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = network(features).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
