"""The small VDVAE, as the decoder takes it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.backbones.tiny.backbone import read_weights

from ..vdvae import Vdvae
from .sizes import VDVAE

FILE = Path(__file__).resolve().parent / "vdvae.safetensors"


def vdvae() -> Vdvae:
    """From the file beside this one."""
    network = Vdvae(VDVAE)
    network.load_state_dict(read_weights(FILE))
    return network.eval().requires_grad_(False)


def fingerprint() -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()
