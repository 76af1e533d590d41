"""A fitted model on disk: safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness.api import DataError
from harness.solvers.saved import load_space, save_space
from harness.training import write_curves

from ..common.training_data import VoxelScale
from .clusters import Clusters
from .dataset import FeatureScale
from .model import ChasmModel, FittedSubject
from .params import ChasmParams
from .stage1 import Stage1
from .stage2 import Stage2
from .transfer import TransferredSubject

SCALES = ("cls_mean", "cls_sd", "patch_mean", "patch_sd")

History = dict[str, list[dict[str, float]]]


def save_model(
    folder: Path,
    model: ChasmModel,
    *,
    transferred: Sequence[TransferredSubject],
    last: dict[str, Tensor],
    history: History,
) -> None:
    """``encoder.json``, ``curves.json``, ``weights``, ``last`` and a folder per subject under `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"scale.{name}": getattr(model.features, name) for name in SCALES}
    for name in ("stage1", "stage2"):
        tensors |= {f"{name}.{k}": v for k, v in getattr(model, name).state_dict().items()}
    save_file(_plain(tensors), folder / "weights.safetensors")
    if last:
        save_file(_plain(last), folder / "last.safetensors")
    for number, subject in enumerate(model.subjects):
        _save_subject(
            folder / f"subject-{number:03d}", subject, label=torch.from_numpy(subject.clusters.label)
        )
    for number, subject in enumerate(transferred):
        _save_subject(folder / f"transfer-{number:03d}", subject, **subject.head.state_dict())
    (folder / "encoder.json").write_text(json.dumps({"patches": model.stage1.patches}))
    write_curves(folder / "curves.json", history)


def load_model(
    folder: Path, params: ChasmParams, *, device: str
) -> tuple[ChasmModel, list[TransferredSubject], History, dict[str, Tensor]]:
    """Model, transferred subjects, history and last weights, as :func:`save_model` wrote them."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        words = json.loads((folder / "encoder.json").read_text())
        history = json.loads((folder / "curves.json").read_text())
        tensors = load_file(folder / "weights.safetensors")
        last_file = folder / "last.safetensors"
        last = load_file(last_file) if last_file.is_file() else {}
        subjects = []
        for place in sorted(folder.glob("subject-*")):
            own = load_file(place / "voxels.safetensors")
            clusters = Clusters(own["label"].numpy())
            subjects.append(FittedSubject(load_space(place), clusters, _scale(own)))
        transferred = []
        for place in sorted(folder.glob("transfer-*")):
            own = load_file(place / "voxels.safetensors")
            head = nn.Linear(own["weight"].shape[1], own["weight"].shape[0])
            head.load_state_dict({name: own[name] for name in ("weight", "bias")})
            head = head.to(device).eval().requires_grad_(False)
            transferred.append(TransferredSubject(load_space(place), _scale(own), head))
        features = FeatureScale(*(tensors[f"scale.{name}"] for name in SCALES))
        model = _rebuilt(params, features, subjects, tensors, patches=words["patches"], device=device)
        return model, transferred, history, last
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
        line = str(problem).partition("\n")[0]
        raise DataError(
            f"{folder} holds no chasm encoder of these parameters ({line}); fit it again"
        ) from None


def _rebuilt(
    params: ChasmParams,
    features: FeatureScale,
    subjects: list[FittedSubject],
    tensors: dict[str, Tensor],
    *,
    patches: int,
    device: str,
) -> ChasmModel:
    cls_dim, patch_dim = len(features.cls_mean), len(features.patch_mean)
    clusters = [subject.clusters for subject in subjects]
    biases = [torch.zeros(each.count) for each in clusters]
    with torch.random.fork_rng():  # initial values are overwritten; the caller's state stays as it is
        stage1 = Stage1(params, cls_dim=cls_dim, patch_dim=patch_dim, patches=patches, biases=biases)
        stage2 = Stage2(params, visual=cls_dim + patch_dim, clusters=clusters, biases=biases)
    for name, stage in (("stage1", stage1), ("stage2", stage2)):
        stage.load_state_dict(
            {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
        )
        stage.to(device).eval().requires_grad_(False)
    return ChasmModel(params, features, stage1, stage2, subjects, device)


def _save_subject(place: Path, subject: FittedSubject | TransferredSubject, **more: Tensor) -> None:
    from safetensors.torch import save_file

    place.mkdir(parents=True)
    save_space(place, subject.space)
    scale = {"mean": torch.from_numpy(subject.scale.mean), "sd": torch.from_numpy(subject.scale.sd)}
    save_file(_plain(scale | more), place / "voxels.safetensors")


def _scale(own: dict[str, Tensor]) -> VoxelScale:
    return VoxelScale(*(np.asarray(own[name].numpy(), np.float32) for name in ("mean", "sd")))


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
