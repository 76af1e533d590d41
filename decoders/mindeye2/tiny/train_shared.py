"""Train the shared part on all simulated subjects but one, for each of the four, as in the paper.

``python -m harness.decoders.mindeye2.tiny.train_shared [--version 2] [--epochs N] [--subject subj01]``

The other subjects' training trials of the benchmark ``embedded`` are all it sees: not the subject that
it is for, and no test image.  Stopped anywhere, it goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from harness.api import DataError
from harness.benchmarks.cortex import SUBJECTS
from harness.benchmarks.embedded import MAX_TEST, Embedded, Embedded2
from harness.benchmarks.embedded import Params as EmbeddedParams
from harness.progress import Lines, listening

from ...drawing import image_generators
from .. import low_level
from ..checkpoints import save_network
from ..fitting import FitSettings, TrainingSet, fit_network
from ..generator import Generator
from ..inference import predict
from ..model import MindEye2Network
from ..teacher import augmented
from .networks import SIZES, BigGTokens
from .small import FOLDER, GENERATOR, shared_file

logger = logging.getLogger(__name__)

SEED = 107
VERSIONS = {each.version: each for each in (Embedded, Embedded2)}
EPOCHS = {"1": 8, "2": 4}
"""Of each version of the benchmark."""
SETTINGS = FitSettings(epochs=EPOCHS["1"], batch=16, learning_rate=1e-3, checkpoint_every=500)
HELD_OUT = 200
"""Training images of each subject that are kept out, to score on."""
AREA = (0.9, 1.0)
"""Crops of the teacher's views; the public code's are 0.9 of the area, all of them."""


def training_sets(
    others: list[str], *, cache: Path, version: str
) -> tuple[list[TrainingSet], list[TrainingSet], str]:
    """For each subject what is trained on and what is held out, and the hash of all training images."""
    generator, embedder = Generator.load(GENERATOR), BigGTokens()
    scale = generator.settings.latent_scale
    training, fresh, images = [], [], hashlib.sha256()
    for name in others:
        data = VERSIONS[version](EmbeddedParams(n_test=MAX_TEST)).load(name)
        if common := set(data.train.stimuli.image_hashes()) & set(data.test.stimuli.image_hashes()):
            raise DataError(f"{len(common)} training images of {name} are test images; expected none")
        targets = _targets(data, generator, embedder, scale, file=cache / f"shared-{name}.npz")
        images.update("".join(data.train.stimuli.image_hashes()).encode())
        parts = {"latents": targets["latents"], "views": (targets["clean"], targets["augmented"])}
        whole = TrainingSet.of(data.train, targets["tokens"], **parts)
        last = whole.image_index >= len(whole.tokens) - HELD_OUT
        for out, at in ((training, ~last), (fresh, last)):
            trials = {"responses": whole.responses[at], "image_index": whole.image_index[at]}
            out.append(replace(whole, **trials))
    return training, fresh, images.hexdigest()


def _targets(data, generator, embedder, scale, *, file: Path) -> dict[str, np.ndarray]:
    """Tokens, latents and the teacher's two views of a subject's training images."""
    if not file.is_file():
        targets: dict[str, list] = {name: [] for name in ("tokens", "latents", "clean", "augmented")}
        with torch.inference_mode():
            for number, (_, images) in enumerate(data.train.stimuli.batches(100)):
                x = torch.from_numpy(np.moveaxis(images, -1, 1).astype(np.float32)) / 255
                targets["tokens"].append(embedder(x))
                targets["latents"].append(low_level.low_level_targets(generator.vae, x, scale=scale))
                targets["clean"].append(embedder.teach(x))
                targets["augmented"].append(embedder.teach(augmented(x, seed=SEED + number, area=AREA)))
        part = file.with_suffix(".part.npz")
        np.savez(part, **{name: torch.cat(values).numpy() for name, values in targets.items()})
        part.replace(file)
    with np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


def scores(network: MindEye2Network, fresh: list[TrainingSet]) -> dict[str, float]:
    """Of the mean over repeats of held-out images: retrieval among 200, correlation of tokens."""
    from harness.metrics.identification import two_way

    parts: dict[str, list[float]] = {"retrieval_top1_of_200": [], "token_r": [], "token_two_way": []}
    for subject, data in enumerate(fresh):
        ids, index = np.unique(data.image_index, return_inverse=True)
        outputs = predict(
            network,
            torch.from_numpy(data.responses),
            torch.from_numpy(index),
            generators=image_generators(ids.astype(np.uint64)),
            subject=subject,
        )
        truth = data.tokens[ids].reshape(len(ids), -1)
        a, b = (
            rows / np.linalg.norm(rows, axis=1, keepdims=True)
            for rows in (outputs.retrieval.flatten(1).numpy(), truth)
        )
        parts["retrieval_top1_of_200"].append(((a @ b.T).argmax(1) == np.arange(len(ids))).mean())
        tokens = outputs.tokens.flatten(1).numpy()
        parts["token_r"].append(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(tokens, truth)]))
        parts["token_two_way"].append(two_way(tokens, truth).mean())
    return {name: round(float(np.mean(values)), 4) for name, values in parts.items()}


def train(
    subject: str, settings: FitSettings, *, out: Path, cache: Path, version: str = "1"
) -> dict[str, object]:
    """Train for `subject` on the others; write the file of ``shared_file`` and its ``.json``."""
    torch.set_num_threads(1)
    began = time.monotonic()
    others = [name for name in SUBJECTS if name != subject]
    training, fresh, images = training_sets(others, cache=cache, version=version)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = MindEye2Network([data.responses.shape[1] for data in training], SIZES)
    file = out / shared_file(subject, version).name
    history = fit_network(network, training, settings, seed=SEED, checkpoint_dir=cache / file.stem)
    held_out = scores(network, fresh)
    network.ridge.linears = torch.nn.ModuleList()  # a new subject has a ridge layer of its own
    save_network(network, file, half=True)
    log = {
        "name": file.stem,
        "benchmark": f"embedded@{version}",
        "trained_on": others,
        "seed": SEED,
        **asdict(settings),
        "parameters": sum(p.numel() for p in network.parameters()),
        "weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "training_images_sha256": images,
        "torch": torch.__version__,
        "wall_seconds": round(time.monotonic() - began),
        "losses": [asdict(entry) for entry in history],
        "held_out_scores": held_out,
    }
    file.with_suffix(".json").write_text(json.dumps(log, indent=1) + "\n")
    logger.info("%s: %s", file.stem, held_out)
    return log


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="train mindeye2's shared part on the other subjects")
    parser.add_argument("--subject", choices=tuple(SUBJECTS), action="append", help="default: all four")
    parser.add_argument("--version", choices=tuple(VERSIONS), default="2", help="of the benchmark [2]")
    parser.add_argument("--epochs", type=int, help="fewer for a reduced re-run")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--cache", type=Path, default=Path("tiny-cache"), help="targets, checkpoints")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    given.cache.mkdir(parents=True, exist_ok=True)
    settings = FitSettings(**{**_flat(SETTINGS), "epochs": given.epochs or EPOCHS[given.version]})
    for subject in given.subject or SUBJECTS:
        with listening(Lines(logger.info)):
            train(subject, settings, out=given.out, cache=given.cache, version=given.version)


def _flat(settings: FitSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


if __name__ == "__main__":
    main()
