"""The released VDVAE, ``imagenet64-iter-1600000-model-ema.th`` (openai/vdvae, MIT)."""

from __future__ import annotations

from harness.backbones import weights
from harness.decoders.files import load_exactly
from harness.decoders.latent_diffusion.public import missing_weights

from .vdvae import Vdvae, VdvaeSettings

NAME = "vdvae"


def vdvae(settings: VdvaeSettings | None = None) -> Vdvae:
    """From the file that ``harness prefetch vdvae`` keeps."""
    network = Vdvae(settings or VdvaeSettings())
    state = {name.removeprefix("module."): value for name, value in weights.load_state(NAME).items()}
    load_exactly(network, state, what="the VDVAE")
    return network.eval().requires_grad_(False)


def missing() -> list[str]:
    """A line where the file is not here."""
    return missing_weights((NAME,))


def fingerprint() -> str:
    """SHA-256 of the file."""
    return weights.stored_sha(NAME)
