"""Pretrain the small scale-wise transformer on the true hierarchy of ``bigg@tiny``.

It stands where Switti's public weights stand at full size: a generator that knows how to draw from the tokens
of an image-text model and has seen no brain.  Codes are those of the VQ-VAE (``train_vqvae``), scenes of the
same namespace.  The null condition is the mean hierarchy over the scenes, near to what a fitted encoder makes
of zero voxels.

The weights that are shipped are those after 400 of the 600 steps, where the training was stopped: its log
says ``stopped_after``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from harness.backbones.tiny.backbone import read_weights
from harness.backbones.tiny.train_data import DrawnScenes
from harness.backbones.tiny.train_loop import Settings, Task, main

from ...drawing import image_generators
from ..losses import code_loss
from ..sampling import SamplingSettings, sample
from ..transformer import ScaleTransformer
from ..vqvae import VQVAE
from .sizes import LEVELS, TRANSFORMER_SIZES, VQVAE_SIZES, BigGLevels
from .train_vqvae import FOLDER, pictures, true_features

SETTINGS = Settings(
    "transformer", "tiny-mindhier", seed=223, scenes=10_000, steps=600, batch=24, rate=2e-3, decay=0.01,
    warmup=60, held_out=200, bfloat16=False, channels_last=False,
)  # fmt: skip
GATE = 0.1
"""Initial size of the gates: with VAR's 1e-5 a short training stands still."""
UNCONDITIONAL = 0.1
"""Share of scenes whose condition is the null."""
DRAWING = SamplingSettings(guidance=1.5, top_k=50)


class TransformerTask(Task):
    """Predict the codes of every scale from those before and the scene's hierarchy."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ScaleTransformer(TRANSFORMER_SIZES)
        self.network.start(gate=GATE)
        self.vqvae = trained_vqvae()
        self._levels = self._codes = np.empty(0)
        self._null = torch.empty(0)

    def prepare(self, drawn: DrawnScenes, *, cache: Path) -> None:
        """Levels (n, M, 17, 64) float16 and codes (n, L) of all scenes."""
        embedder, quantizer = BigGLevels(LEVELS), self.vqvae.quantize
        features = true_features(self.vqvae, drawn, cache=cache)
        with torch.inference_mode():
            parts = [quantizer(torch.from_numpy(np.array(x))).codes for x in np.array_split(features, 100)]
        self._codes = torch.cat(parts).numpy()
        key = hashlib.sha256((embedder.identity() + drawn.sha).encode()).hexdigest()
        file = cache / f"levels-{key[:12]}.npy"
        if not file.is_file():
            levels = []
            with torch.inference_mode():
                for start in range(0, len(drawn), 100):
                    x = pictures(drawn, np.arange(start, min(start + 100, len(drawn))))
                    levels.append(torch.stack(embedder((x + 1) / 2), dim=1).half().numpy())
            np.save(file, np.concatenate(levels), allow_pickle=False)
        self._levels = np.load(file, mmap_mode="r", allow_pickle=False)
        mean = np.asarray(self._levels[:4000], np.float32).mean(0)
        self._null = torch.from_numpy(mean)

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Cross-entropy, every scale as important as any other."""
        codes = torch.from_numpy(self._codes[chosen])
        levels = torch.from_numpy(self._levels[chosen].astype(np.float32))
        drop = torch.rand(len(codes), generator=generator) < UNCONDITIONAL
        levels = torch.where(drop[:, None, None, None], self._null, levels)
        with torch.no_grad():
            inputs = self.vqvae.quantize.next_inputs(codes)
        context = list(levels.flip(1).unbind(1))
        logits = self.network(inputs, context[0].mean(1), context)
        return code_loss(logits, codes, TRANSFORMER_SIZES.sides, balanced=True)

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """Pictures drawn from true tokens against the scenes, those of other scenes' tokens beside."""
        embedder, network = BigGLevels(LEVELS), self.network.eval()
        null = list(self._null[None].flip(1).unbind(1))
        drawn, truth, coded = [], [], []
        loss = []
        for start in range(0, len(held_out), 50):
            chosen = np.arange(start, min(start + 50, len(held_out)))
            x = pictures(held_out, chosen)
            context = embedder((x + 1) / 2)[::-1]
            codes = self.vqvae.codes(x)
            logits = network(self.vqvae.quantize.next_inputs(codes), context[0].mean(1), context)
            loss.append(code_loss(logits, codes, TRANSFORMER_SIZES.sides, balanced=True))
            latents = sample(
                network,
                self.vqvae.quantize,
                network.guide(context[0].mean(1), context),
                network.guide(null[0].mean(1), null),
                generators=image_generators(chosen.astype(np.uint64)),
                settings=DRAWING,
            )[:, 0]
            drawn.append(_pixels(self.vqvae.picture(latents)))
            coded.append(_pixels(self.vqvae.picture(self.vqvae.quantize.sums(codes)[-1])))
            truth.append(_pixels(x))
        drawn, coded, truth = (np.concatenate(each) for each in (drawn, coded, truth))
        scores = {"held_out_loss": float(torch.stack(loss).mean())}
        scores["pixel_r"] = _pixel_r(drawn, truth)
        scores["pixel_r_of_other_scenes"] = _pixel_r(np.roll(drawn, 1, axis=0), truth)
        scores["pixel_r_true_codes"] = _pixel_r(coded, truth)
        return {**scores, **_two_ways(drawn, coded, truth)}


VQVAE_FILE = FOLDER / "vqvae.safetensors"


def trained_vqvae() -> VQVAE:
    """The VQ-VAE that ``train_vqvae`` wrote."""
    network = VQVAE(VQVAE_SIZES)
    network.load_state_dict(read_weights(VQVAE_FILE))
    return network.eval().requires_grad_(False)


def _pixels(x: torch.Tensor) -> np.ndarray:
    return (x.permute(0, 2, 3, 1).numpy() + 1) / 2


def _pixel_r(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b)]))


def _two_ways(drawn: np.ndarray, coded: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Two-way identification on two scoring networks, of drawn pictures and of true codes."""
    from harness.backbones.tiny.alexnet import AlexNetTiny
    from harness.backbones.tiny.clip import ClipTiny
    from harness.metrics.identification import two_way

    scores = {}
    for network, layer in ((AlexNetTiny(), "conv5"), (ClipTiny(), "image")):
        network.open(device="cpu")
        a, b, c = (network.extract(x, [layer])[layer].reshape(len(x), -1) for x in (drawn, coded, truth))
        scores[f"two_way_{network.name}_{layer}"] = float(two_way(a, c).mean())
        scores[f"two_way_true_codes_{network.name}_{layer}"] = float(two_way(b, c).mean())
    return scores


def build() -> TransformerTask:
    """The network to train."""
    return TransformerTask()


if __name__ == "__main__":
    main(SETTINGS, build, folder=FOLDER)
