"""Sampling: what the samplers do with a network that knows the answer, and with the small one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.api import ConfigError
from harness.decoders.latent_diffusion import painter as module
from harness.decoders.latent_diffusion.painter import Conditions, Drawing, build_scheduler
from harness.decoders.latent_diffusion.tiny import small


def generators(count: int, *, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + k) for k in range(count)]


@pytest.fixture(scope="module")
def painter():
    return small.painter()


def knowing(painter, clean: torch.Tensor):
    """A painter whose network sees exactly the noise that hides `clean`; it notes the times."""
    kept, times = build_scheduler(Drawing()).alphas_cumprod, []

    def noise(latents, time, conditions, *, words):
        times.append(int(time))
        level = kept[int(time)]
        return (latents - level.sqrt() * torch.cat([clean, clean])) / (1 - level).sqrt()

    return replace(painter, noise=noise, prepared=lambda c: c, null=module.zeros), times


@pytest.mark.parametrize("sampler", ["ddim", "unipc"])
def test_a_network_that_knows_the_noise_finds_the_latent(painter, sampler):
    clean = torch.randn(2, *painter.latent_shape, generator=torch.Generator().manual_seed(1))
    knows, times = knowing(painter, clean)
    tokens = Conditions(torch.zeros(2, 16, 64))
    sampled = knows.sample(tokens, drawing=Drawing(sampler, 20, 3.0), generators=generators(2))
    assert (sampled - clean).abs().max() < 0.2  # DDIM ends at the noise of step 0, 0.03 SD
    assert len(times) == 20
    times.clear()
    half = Drawing(sampler, 20, 3.0, 0.75)
    knows.sample(tokens, drawing=half, generators=generators(2), start=torch.zeros_like(clean))
    assert len(times) == 15
    assert half.done == 15
    assert Drawing(steps=50, strength=0.75).done == 37
    assert Drawing(steps=20, strength=0.85).done == 17


def test_ddim_starts_at_the_noise_of_the_step_before_as_compvis_does(painter):
    start = torch.full((1, *painter.latent_shape), 3.0)
    seen = []

    def noise(latents, time, conditions, *, words):
        seen.append(latents[:1].clone())
        return torch.zeros_like(latents)

    drawing = Drawing("ddim", 50, 1.0, 0.8)
    replace(painter, noise=noise, prepared=lambda c: c, null=module.zeros).sample(
        Conditions(torch.zeros(1, 16, 64)), drawing=drawing, generators=generators(1), start=start
    )
    level = build_scheduler(drawing).alphas_cumprod[20 * 40 + 1]  # index 40 of 1, 21, ... 981
    drawn = torch.randn(painter.latent_shape, generator=generators(1)[0])
    assert torch.allclose(seen[0], level.sqrt() * start + (1 - level).sqrt() * drawn, atol=1e-5)
    assert len(seen) == 40


def test_an_image_is_drawn_the_same_in_any_batch(painter):
    tokens = torch.randn(3, 16, 64, generator=torch.Generator().manual_seed(2)) / 8
    drawing = Drawing("unipc", 4, 2.0)
    together = painter.draw(Conditions(tokens), drawing=drawing, generators=generators(3))
    alone = painter.draw(Conditions(tokens[2:]), drawing=drawing, generators=generators(1, first=2))
    assert (together[2:] - alone).abs().max() < 1e-3


def test_words_draw_what_they_say(painter):
    captions = ["a large red car at the centre on grass", "a large blue fish at the centre in sea"]
    words = painter.word_tokens(captions)
    assert words.shape == (2, 48, 64)
    drawn = painter.draw(Conditions(words=words), drawing=Drawing("unipc", 10, 2.0), generators=generators(2))
    assert (painter.image_vector(drawn) @ painter.word_vector(captions).T).argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize(
    "given", [{"sampler": "euler"}, {"steps": 1}, {"strength": 0.0}, {"words": 1.5}], ids=str
)
def test_what_cannot_be_drawn_is_refused(given):
    with pytest.raises(ConfigError, match="decoder"):
        Drawing(**given)
