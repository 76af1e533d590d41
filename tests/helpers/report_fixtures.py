"""Synthetic run folders for tests of reports: every number drawn, none computed by the engine."""

from __future__ import annotations

import itertools
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.data import ImageSet
from harness.metrics.meanings import MEANINGS
from harness.results import SCORE_COLUMNS, SET_COLUMNS, VOXEL_COLUMNS
from harness.rows.table import in_order
from harness.run.pictures import picture_files

IDENTITY = {
    "run": "synthetic",
    "benchmark": "toy@1",
    "subject": "s1",
    "encoder": "ridge",
    "adapter": "none",
    "decoder": "linear",
    "selection": "first",
}

# Row -> (label, note, level of its image scores above 0).
ROWS = {
    "measured": ("measured fMRI", "all repeats of each test image, decoded", 0.62),
    "predicted": ("predicted fMRI", "the encoder's responses, adapted and decoded", 0.66),
    "measured-trial": ("measured, single trials", "each trial decoded alone", 0.45),
    "remeasured": ("measured again (reliability)", "as many fresh trials of each test image, decoded", 0.61),
    "oracle": ("noise-free truth", "the simulation's responses without noise, decoded", 0.7),
    "generator-ceiling": ("generator ceiling", "the decoder's generator given the true embedding", 0.86),
    "zero": ("zero fMRI", "a response of 0 in every voxel, decoded", 0.08),
    "train-mean": ("mean training fMRI", "the mean training response, decoded", 0.09),
    "shuffled": ("predicted, shuffled", "the predicted row's images re-paired with other stimuli", 0.02),
    "shuffled-measured": ("measured, shuffled", "the measured row's images re-paired", 0.01),
    "nearest-train": ("nearest training image", "by correlation with the predicted response", 0.3),
    "mean-image": ("mean training image", "the same image every time", 0.1),
    "flat-grey": ("flat grey", "a constant image", 0.0),
}
CONSTANT = ("zero", "train-mean", "mean-image", "flat-grey")

IMAGE_METRICS = {
    "pixcorr@1": {"label": "PixCorr", "chance": 0.0, "inputs": "images"},
    "ssim@1": {"label": "SSIM", "chance": None, "inputs": "images"},
    "pixel-2way@1": {"label": "2-way (pixels)", "chance": 0.5, "pool": True, "backbone": "pixels:rgb64"},
    "distance@1": {"label": "distance", "chance": None, "higher_is_better": False},
}
AGREEMENT = ("decoded-agreement@1", "decoded-agreement-controlled@2")


def write_run(
    folder: Path, *, images: int = 24, voxels: int = 120, side: int = 32, seed: int = 0, **changes: Any
) -> Path:
    """Write a run folder and return it; `changes` replace keys of ``run.json`` (None removes one)."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"scene-{k:03d}" for k in range(images)]
    info = run_info(ids, voxels, seed) | changes
    (folder / "run.json").write_text(json.dumps({k: v for k, v in info.items() if v is not None}))
    score_frame(ids, seed).to_parquet(folder / "scores.parquet", index=False)
    voxel_frame(voxels, images, seed).to_parquet(folder / "voxel_scores.parquet", index=False)
    set_frame(images).to_parquet(folder / "set_scores.parquet", index=False)
    np.savez(folder / "gallery.npz", **gallery(ids[:6], side, seed))
    np.savez(folder / "patterns.npz", **patterns(ids[:6], voxels, seed))
    return folder


def run_info(ids: list[str], voxels: int, seed: int) -> dict[str, Any]:
    """``run.json`` with every key a report may read."""
    rng = np.random.default_rng(seed)
    thirds = np.array_split(np.arange(voxels), 3)
    metrics = [
        {
            "name": name,
            "inputs": "embedding",
            "unit": "image",
            "higher_is_better": True,
            "targets": ["stimulus", "measured"],
            "backbone": "",
            "pool": False,
            **given,
        }
        for name, given in IMAGE_METRICS.items()
    ]
    shared = {"higher_is_better": True, "chance": 0.0, "backbone": "", "pool": False}
    metrics += [
        {**shared, "name": name, "label": name.split("@")[0], "inputs": "embedding", "unit": "image"}
        | {"targets": ["measured"], "backbone": "pixels:rgb8"}
        for name in AGREEMENT
    ]
    metrics += [
        {**shared, "name": name, "label": label, "inputs": "responses", "unit": unit, "targets": []}
        for name, label, unit in (
            ("voxel-r@1", "voxel r", "voxel"),
            ("voxel-r2-nc@1", "voxel r² / ceiling", "voxel"),
            ("pattern-r@1", "pattern r", "image"),
            ("rsa@1", "RSA", "set"),
        )
    ]
    metrics = [{**m, "meaning": MEANINGS.get(m["name"].split("@")[0], "")} for m in metrics]
    return {
        "schema": 1,
        "run": "synthetic",
        "created": "2024-05-06T07:08:09+00:00",
        "command": ["harness", "run", "--encoder", "ridge", "--set", "encoder.note=two words"],
        "harness_version": "0.1.0",
        "git": {"revision": "0" * 40, "dirty": True},
        "benchmark": {"name": "toy", "version": "1", "simulated": True, "params": {"subjects": 1}},
        "subject": "s1",
        "subset": {"name": f"limit-{len(ids)}", "sha": "abc"},
        "n_train": 3000,
        "n_test": len(ids),
        "space": {
            "dataset": "toy",
            "subject": "s1",
            "mask": "all",
            "units": "zscore",
            "n_voxels": voxels,
            "n_valid": voxels,
            "sha": "f" * 64,
            "rois": {name: part.tolist() for name, part in zip(("V1", "V2", "faces"), thirds)},
            "groups": {"early": np.concatenate(thirds[:2]).tolist(), "higher": thirds[2].tolist()},
            "ncsnr": True,
        },
        "noise_ceiling": rng.beta(2, 4, voxels).round(6).tolist(),
        "encoder": {"name": "ridge", "version": "1", "file_sha": "e" * 64, "params": {"folds": 5}},
        "adapter": "none",
        "decoder": {"name": "linear", "version": "1", "file_sha": "d" * 64, "params": {"components": 256}},
        "selection": "first",
        "seed": 0,
        "samples": 1,
        "device": "cpu: x86_64",
        "rows": [
            {**asdict(row), "label": ROWS[row.name][0], "note": ROWS[row.name][1]} for row in in_order(ROWS)
        ],
        "metrics": metrics,
        "failed_metrics": [],
        "flags": [
            {"name": "decoder-prior-zone", "level": "warning", "message": "predicted is above measured"},
            {"name": "limit", "level": "info", "message": "a named subset"},
        ],
        "gallery_rule": f"the first 6 of {len(ids)} test images",
        "timings": {"fit": 1.5, "decode": 2.25},
        "peak_memory_mb": 812.5,
        "artifacts": {"encode": "a" * 64},
        "data_sha": {"train_stimuli": "1" * 64},
        "packages": {"numpy": np.__version__},
        "computed": {"decode": [3, 1]},
    }


def score_frame(ids: list[str], seed: int) -> pd.DataFrame:
    """Image scores; ``measured-trial`` has three trials and ``predicted`` two samples."""
    lines = []
    for row, (_, _, level) in ROWS.items():
        for metric in (*IMAGE_METRICS, *AGREEMENT):
            targets = ("measured",) if metric in AGREEMENT else ("stimulus", "measured")
            for target in targets:
                if target == "measured" and row in ("measured", "measured-trial"):
                    continue
                for trial in (0, 1, 2) if row == "measured-trial" else (-1,):
                    for sample in (0, 1) if row == "predicted" else (0,):
                        key = zlib.crc32(f"{seed}|{row}|{metric}|{target}|{trial}|{sample}".encode())
                        noise = np.random.default_rng(key).normal(0, 0.08, len(ids))
                        common = np.random.default_rng(zlib.crc32(metric.encode())).normal(0, 0.06, len(ids))
                        mean = {"pixel-2way@1": 0.5 + level / 2, "distance@1": 2 - level}.get(metric, level)
                        if metric == "decoded-agreement-controlled@2":
                            mean = level * 0.5
                        for name, value in zip(ids, mean + noise + common):
                            lines.append((row, target, name, trial, sample, metric, value))
    lines += [
        ("predicted", "responses", name, -1, 0, "pattern-r@1", 0.3 + 0.01 * k) for k, name in enumerate(ids)
    ]
    frame = pd.DataFrame(lines, columns=["row", "target", "image_id", "trial", "sample", "metric", "value"])
    return frame.assign(**IDENTITY, backbone="", n=len(ids), pool="", rivalry=0.0)[list(SCORE_COLUMNS)]


def voxel_frame(voxels: int, images: int, seed: int) -> pd.DataFrame:
    """Voxel scores of an encoder, a constant predictor and the truth."""
    rng = np.random.default_rng(seed)
    ceiling = np.array(run_info(["a"], voxels, seed)["noise_ceiling"])
    shares = {"predicted": 0.6, "oracle": 1.0, "zero": 0.0}
    lines = []
    for row, share in shares.items():
        r = np.sqrt(ceiling) * share + (rng.normal(0, 0.05, voxels) if share else 0)
        ratio = np.clip(r, 0, None) ** 2 / ceiling
        lines += [(row, "voxel-r@1", k, value) for k, value in enumerate(r)]
        lines += [(row, "voxel-r2-nc@1", k, value) for k, value in enumerate(ratio)]
    frame = pd.DataFrame(lines, columns=["row", "metric", "voxel", "value"])
    return frame.assign(**IDENTITY, n=images)[list(VOXEL_COLUMNS)]


def set_frame(images: int) -> pd.DataFrame:
    """Set scores, with the interval of mean voxel r that the engine leaves there."""
    lines = [
        ("predicted", "rsa@1", 0.41),
        ("predicted", "voxel-r-mean@1", 0.33),
        ("predicted", "voxel-r-low@1", 0.31),
        ("predicted", "voxel-r-high@1", 0.35),
    ]
    frame = pd.DataFrame(lines, columns=["row", "metric", "value"])
    return frame.assign(**IDENTITY, n=images, pool="")[list(SET_COLUMNS)]


def gallery(ids: list[str], side: int, seed: int) -> dict[str, np.ndarray]:
    """Smooth random colours as stimuli, noisier ones as reconstructions, constant controls."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (len(ids), 4, 4, 3))
    stimuli = np.kron(coarse, np.ones((1, side // 4, side // 4, 1))).astype(np.float64)
    arrays = {"ids": np.array(ids), "stimulus": stimuli.astype(np.uint8)}
    for row in ROWS:
        if row == "measured-trial" or row.startswith("shuffled"):
            continue
        noisy = 0.6 * stimuli + 50 + rng.normal(0, 12, stimuli.shape)
        if row in CONSTANT:
            noisy = np.broadcast_to(noisy[:1], stimuli.shape)
        arrays[row] = np.clip(noisy, 0, 255).astype(np.uint8)
    return arrays


def patterns(ids: list[str], voxels: int, seed: int) -> dict[str, np.ndarray]:
    """Measured responses and predictions that share a part of them."""
    rng = np.random.default_rng(seed)
    measured, other = rng.normal(size=(2, len(ids), voxels)).astype(np.float32)
    return {"ids": np.array(ids), "measured": measured, "predicted": 0.6 * measured + 0.4 * other}


def with_pictures(folder: Path, side: int = 16) -> Path:
    """Add all images as files, as a run keeps them."""
    ids = tuple(sorted(set(pd.read_parquet(folder / "scores.parquet", columns=["image_id"])["image_id"])))
    arrays = gallery(list(ids), side, 1)
    sets = {row: ImageSet.from_array(ids, arrays[row]) for row in ("stimulus", "measured", "predicted")}
    for name, content in picture_files(ids, sets).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def line_of(table: pd.DataFrame, **values: str) -> pd.Series:
    """The only line of `table` with these values."""
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def change_scores(folder: Path, name: str, change: Any) -> None:
    """Rewrite the table `name` as ``change(frame)``."""
    path = folder / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def rename(folder: Path, old: str, new: str) -> Path:
    """Call the image `old` `new`, in scores, gallery and patterns."""
    change_scores(folder, "scores", lambda f: f.assign(image_id=f["image_id"].replace(old, new)))
    for file in (folder / "gallery.npz", folder / "patterns.npz"):
        arrays = dict(np.load(file))
        arrays["ids"] = np.array([new if name == old else name for name in arrays["ids"]])
        np.savez(file, **arrays)
    return folder


CAPTIONS = {"caption-rouge1@1": "caption ROUGE-1", "caption-meteor@1": "caption METEOR"}
CAPTION_ROWS = ("measured", "predicted", "zero", "generator-ceiling", "shuffled")


def with_captions(folder: Path) -> Path:
    """Add caption scores: against the reference for all, against the captioner's own for decoded rows."""
    info = json.loads((folder / "run.json").read_text())
    shared = {"inputs": "captions", "unit": "image", "higher_is_better": True, "chance": None, "pool": False}
    targets = {"targets": ["stimulus", "image", "measured"], "backbone": ""}
    info["metrics"] += [
        {"name": name, "label": label, **shared, **targets} for name, label in CAPTIONS.items()
    ]
    (folder / "run.json").write_text(json.dumps(info))

    def add(frame: pd.DataFrame) -> pd.DataFrame:
        ids = sorted(set(frame["image_id"]))
        parts = [frame]
        for row, metric, target in itertools.product(CAPTION_ROWS, CAPTIONS, ("stimulus", "image")):
            if target == "image" and row in ("generator-ceiling", "shuffled"):
                continue
            rng = np.random.default_rng(zlib.crc32(f"{row}|{metric}|{target}".encode()))
            lines = pd.DataFrame({"image_id": ids, "value": rng.uniform(0.1, 0.2 + ROWS[row][2], len(ids))})
            lines = lines.assign(row=row, metric=metric, target=target, trial=-1, sample=0, **IDENTITY)
            parts.append(lines.assign(backbone="", n=len(ids), pool="", rivalry=0.0)[list(SCORE_COLUMNS)])
        return pd.concat(parts, ignore_index=True)

    change_scores(folder, "scores", add)
    return folder


def with_nearness(folder: Path, *, worth: float) -> Path:
    """Add each stimulus's distance to its nearest training image, half of them 0.2 and half 0.6.

    PixCorr of the predicted row differs by `worth` between the halves; that of the flat row does not.
    """
    info = json.loads((folder / "run.json").read_text())
    metric = {"name": "clip-nearest-train@tiny@1", "label": "nearest training image, CLIP tiny"}
    shared = {"inputs": "training", "unit": "image", "higher_is_better": True, "chance": None, "pool": False}
    info["metrics"].append({**metric, **shared, "targets": ["training"], "backbone": "clip@tiny:embedding"})
    info["rows"].append({"name": "stimulus", "label": "stimuli", "note": "", "group": "reference"})
    (folder / "run.json").write_text(json.dumps(info))

    def add(frame: pd.DataFrame) -> pd.DataFrame:
        ids = sorted(set(frame["image_id"]))
        far = dict(zip(ids, np.arange(len(ids)) % 2 == 1))
        distances = pd.DataFrame({"image_id": ids, "value": [0.6 if far[name] else 0.2 for name in ids]})
        lines = distances.assign(row="stimulus", metric=metric["name"], target="training", trial=-1, sample=0)
        lines = lines.assign(**IDENTITY, backbone="", n=len(ids), pool="", rivalry=0.0)[list(SCORE_COLUMNS)]
        ours = (frame["metric"] == "pixcorr@1") & (frame["target"] == "stimulus")
        predicted = ours & (frame["row"] == "predicted")
        shift = np.where(frame["image_id"].map(far), -worth / 2, worth / 2)
        noise = np.random.default_rng(0).normal(0, 0.05, len(frame))
        frame.loc[predicted, "value"] = (0.5 + shift + noise)[predicted]
        frame.loc[ours & (frame["row"] == "flat-grey"), "value"] = 0.1
        return pd.concat([frame, lines], ignore_index=True)

    change_scores(folder, "scores", add)
    return folder


def with_ranks(folder: Path, ranks: tuple[int, ...] = (0, 4, 32)) -> Path:
    """Add rows ``measured-rank-K`` between ``train-mean`` (rank 0) and ``measured``, with some noise."""

    def add(frame: pd.DataFrame) -> pd.DataFrame:
        ours = frame[(frame["target"] == "stimulus") & ~frame["metric"].isin(CAPTIONS)]
        keys = ["metric", "image_id"]
        ends = [ours[ours["row"] == row].sort_values(keys) for row in ("train-mean", "measured")]
        parts = [frame]
        for rank in ranks:
            share = rank / (rank + 4)
            noise = np.random.default_rng(rank).normal(0, 0.02 if rank else 0, len(ends[0]))
            value = (1 - share) * ends[0]["value"].to_numpy() + share * ends[1]["value"].to_numpy() + noise
            rivalry = np.random.default_rng(rank + 1).normal(0, 0.05, len(value))
            parts.append(ends[0].assign(row=f"measured-rank-{rank}", value=value, rivalry=rivalry))
        return pd.concat(parts, ignore_index=True)

    change_scores(folder, "scores", add)
    return folder


LESIONED = {"keep": 0.4, "drop": 0.1, "shuffle": 0.2}
"""Kind of lesion -> part of the way to the mean training response that it takes; half in other areas."""


def with_lesions(folder: Path, areas: tuple[str, ...] = ("early", "higher")) -> Path:
    """Add lesions of the measured and predicted rows, between these and ``train-mean``, with some noise."""
    info = json.loads((folder / "run.json").read_text())
    names = [
        f"{row}-{kind}-{area}" for row in ("measured", "predicted") for area in areas for kind in LESIONED
    ]
    info["rows"] += [asdict(row) for row in in_order(names)]
    (folder / "run.json").write_text(json.dumps(info))

    def add(frame: pd.DataFrame) -> pd.DataFrame:
        ours = frame[(frame["target"] == "stimulus") & ~frame["metric"].isin(CAPTIONS)]
        keys = ["metric", "image_id"]
        parts = [frame]
        for number, name in enumerate(names):
            intact, kind, area = name.split("-")
            ends = [
                part.groupby(keys, as_index=False).first()
                for part in (ours[ours["row"] == "train-mean"], ours[ours["row"] == intact])
            ]
            share = 1 - LESIONED[kind] * (1 if area == "early" else 0.5)
            noise = np.random.default_rng(number).normal(0, 0.02, len(ends[0]))
            value = (1 - share) * ends[0]["value"].to_numpy() + share * ends[1]["value"].to_numpy() + noise
            parts.append(ends[1].assign(row=name, value=value)[list(SCORE_COLUMNS)])
        return pd.concat(parts, ignore_index=True)

    change_scores(folder, "scores", add)
    return folder
