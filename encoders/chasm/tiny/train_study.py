"""Fit CHASMBrain and ridge baselines on the embedded benchmark, cell by cell, and ablate what was fitted.

``python -m harness.encoders.chasm.tiny.train_study OUT [--version 2] [--images 3000] [--seed 0]
[--score test] [--system ridge-pooled] [--set KEY=VALUE ...]``

Each cell (system, settings, images, seed) is a JSON file in OUT and is not computed twice; a fit that was
stopped goes on from its checkpoint.  ``--score validation``, by which settings are chosen, reads the training
images that the fit held out and never opens the test images.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from harness.api import Stimuli, SubjectData
from harness.backbones.tiny.scenes import Scenes
from harness.benchmarks.embedded import Embedded, Embedded2, Params

from ...common.training_data import validation_images
from ...ridge import RidgeEncoder
from ..clusters import ClusterTargets, cluster_groups
from ..dataset import VisualFeatures
from ..encoder import ChasmEncoder
from ..model import visual_vector
from ..params import ChasmParams

logger = logging.getLogger(__name__)

PRESETS = Path(__file__).resolve().parent.parent / "presets.yaml"
RIDGES = {"ridge-cls": ["cls"], "ridge-pooled": ["cls", "mean"], "ridge-flat": ["cls", "patches"]}
ABLATIONS = ("visual", "latent", "holistic", "residual")
INTERVENTIONS = ("both", "where", "what", "swap", "shuffled")
TEST = 1000
SUBJECT = "subj01"


class SceneFeatures:
    """Layers of ``scenes@tiny``, and ``mean`` of its patches."""

    def __init__(self) -> None:
        self._network = Scenes()
        self._network.open(device="cpu")
        self._kept: dict[tuple[str, str], np.ndarray] = {}

    def layer(self, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        """(N, ...) float32."""
        if (stimuli.sha, layer) not in self._kept:
            parts = [self._network.extract(images, ("cls", "patches")) for _, images in stimuli.batches(200)]
            for name in ("cls", "patches"):
                self._kept[stimuli.sha, name] = np.concatenate([part[name] for part in parts])
            self._kept[stimuli.sha, "mean"] = self._kept[stimuli.sha, "patches"].mean(axis=1)
        return self._kept[stimuli.sha, layer]


def correlations(predicted: np.ndarray, measured: np.ndarray, data: SubjectData) -> dict[str, float]:
    """Mean over voxels of r across images, of all and of each cortical group."""
    a, b = (values - values.mean(axis=0) for values in (predicted, measured))
    r = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0) + 1e-12)
    groups = {"all": np.ones(len(r), bool), **data.space.groups}
    return {name: round(float(r[members].mean()), 4) for name, members in groups.items()}


def scored_images(data: SubjectData, score: str, seed: int, share: float) -> tuple[Stimuli, np.ndarray]:
    """Stimuli and mean responses that a fit has not seen."""
    split = data.test
    if score == "validation":
        held_out = validation_images([data], share, seed=seed)
        pairs = zip(data.train.stimuli.ids, data.train.stimuli.image_hashes())
        split = data.train.select(tuple(name for name, sha in pairs if sha in held_out))
    return split.stimuli, split.responses.mean()


def ablated(
    encoder: ChasmEncoder, stimuli: Stimuli, measured: np.ndarray, features: SceneFeatures, data: SubjectData
) -> dict[str, float]:
    """Mean r of the fitted model with one part's answer that of another image."""
    model = encoder.model
    visual = VisualFeatures.read(encoder.params, features, stimuli)
    outputs: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for _, cls, patches in model.blocks(visual):
            given = visual_vector(cls, patches), model.coarse(cls, patches, 0).clusters
            for part in ABLATIONS:
                outputs.setdefault(part, []).append(model.stage2(*given, 0, ablation=part).voxels.numpy())
    return {part: correlations(np.concatenate(v), measured, data)["all"] for part, v in outputs.items()}


def interventions(
    encoder: ChasmEncoder, stimuli: Stimuli, measured: np.ndarray, features: SceneFeatures, data: SubjectData
) -> dict[str, dict[str, float]]:
    """Table 4: Stage 1's r over clusters of each cortical group, the same weights under each intervention.

    ``weight`` is a group's share of the clusters; the paper's rows follow from .28, .25 and .47.
    """
    own, params = encoder.model.subjects[0], encoder.params
    ncsnr = None if data.space.ncsnr is None else data.space.ncsnr[data.space.valid]
    targets = ClusterTargets(own.clusters, topk=params.topk, mode=params.topk_mode, ncsnr=ncsnr)
    truth = targets(own.scale.standardised(measured[:, data.space.valid])).numpy()
    members = cluster_groups(
        own.clusters, {name: group[data.space.valid] for name, group in data.space.groups.items()}
    )
    members = {"all": np.ones(own.clusters.count, bool), **members}
    rows = {"weight": {name: float(group.mean()) for name, group in members.items()}}
    for name in INTERVENTIONS:
        predicted = encoder.intervened(name).predict_clusters(stimuli, features, space=data.space)
        a, b = (values - values.mean(axis=0) for values in (predicted, truth))
        r = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0) + 1e-12)
        rows[name] = {group: float(r[at].mean()) for group, at in members.items()}
    return {name: {group: round(v, 4) for group, v in row.items()} for name, row in rows.items()}


def cell(
    system: str, given: dict[str, Any], *, version: str, images: int, seed: int, score: str, out: Path
) -> dict[str, Any]:
    """Fit, predict and score one cell."""
    benchmark = {"1": Embedded, "2": Embedded2}[version]
    data = benchmark(Params(n_train=images, n_test=TEST if score == "test" else 1)).load(SUBJECT)
    features, began = SceneFeatures(), time.process_time()
    params = replace(ChasmParams(**yaml.safe_load(PRESETS.read_text())["presets"]["tiny"]), **given)
    stimuli, measured = scored_images(data, score, seed, params.validation)
    folder = out / "checkpoints" / _name(system, given, version, images, seed, "fit")
    folder.mkdir(parents=True, exist_ok=True)
    if system in RIDGES:
        encoder = RidgeEncoder(RidgeEncoder.Params(backbone="scenes@tiny", layers=RIDGES[system], **given))
        if score == "validation":  # a ridge fits on all that it gets
            kept = set(data.train.stimuli.ids) - set(stimuli.ids)
            data = replace(
                data, train=data.train.select(tuple(i for i in data.train.stimuli.ids if i in kept))
            )
    else:
        encoder = ChasmEncoder(params)
    encoder.fit([data], features, seed=seed, device="cpu", checkpoint_dir=folder)
    spent = time.process_time() - began
    seeds = np.zeros((len(stimuli.ids), 1), np.uint64)
    predicted = encoder.predict(stimuli, features, space=data.space, seeds=seeds)[:, 0]
    result: dict[str, Any] = {"r": correlations(predicted, measured, data), "cpu_seconds": round(spent)}
    if system == "chasm" and params.stage1_arch == "dual_mamba":
        result["interventions"] = interventions(encoder, stimuli, measured, features, data)
    if system == "chasm" and params.stage2_refiner in ("dual", "dual_vae"):
        result["share_of_holistic"] = round(float(encoder.model.stage2.fusion.logit.sigmoid()), 3)
        parts = ABLATIONS if params.stage2_refiner == "dual_vae" else ("visual", "holistic", "residual")
        result["r_with_the_part_of_another_image"] = {
            part: value
            for part, value in ablated(encoder, stimuli, measured, features, data).items()
            if part in parts
        }
    return result


def _name(system: str, given: dict[str, Any], version: str, images: int, seed: int, score: str) -> str:
    changed = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:6] if given else "tiny"
    return f"embedded{version}-{images}-{system}-{changed}-{seed}-{score}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="CHASMBrain and ridge on the embedded benchmark")
    parser.add_argument("out", type=Path)
    parser.add_argument("--version", choices=("1", "2"), default="2")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--score", choices=("test", "validation"), default="test")
    parser.add_argument("--system", choices=("chasm", *RIDGES), default="chasm")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the encoder")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    given = {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in asked.set)}
    where = {"version": asked.version, "images": asked.images, "seed": asked.seed}
    file = asked.out / f"{_name(asked.system, given, *where.values(), asked.score)}.json"
    if not file.is_file():
        result = cell(asked.system, given, **where, score=asked.score, out=asked.out)
        described = {"system": asked.system, "given": given, **where, "score": asked.score}
        file.write_text(json.dumps({**described, **result}, indent=1) + "\n")
    logger.info("%s: %s", file.name, file.read_text())


if __name__ == "__main__":
    main()
