"""Run folders of several systems, for leaderboards: small, and each as good as it is asked to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import report_fixtures as fixtures
from report_pages import change_info

from harness.results import CONTRIBUTION_COLUMNS

TEST_DATA = {"test_stimuli": "2" * 64, "test_responses": "3" * 64}


def board_run(
    folder: Path,
    *,
    encoder: str = "ridge",
    decoder: str = "linear",
    subject: str = "s1",
    seed: int = 0,
    better: float = 0.0,
    images: int = 24,
    **changes: Any,
) -> Path:
    """A run of `encoder` and `decoder`, whose row ``predicted`` is `better` by so much in every score.

    changes : keys of ``run.json``, None removes one.
    """
    draw = sum(map(ord, f"{encoder}{subject}")) + 1000 * seed
    fixtures.write_run(folder, images=images, voxels=12, side=8, seed=draw)
    record = {
        "run": folder.name,
        "encoder": {"name": encoder, "version": "1", "params": {"folds": 5}},
        "decoder": {"name": decoder, "version": "1", "params": {}},
        "subject": subject,
        "seed": seed,
        "data_sha": {**TEST_DATA, "test_responses": f"{subject:0>64}"},
        "settings": {"micro_batch": 16},
        "timings": {"decode": 4.8, "encode": 0.24},
        "computed": {"decode": [4, 2], "encode": [2, 0]},
        "fitted_parameters": {"encoder": 1_500_000, "decoder": 2000},
    }
    change_info(folder, **(record | changes))

    def shifted(frame: pd.DataFrame) -> pd.DataFrame:
        sign = frame["metric"].map(lambda name: -1 if name == "distance@1" else 1)
        change = better * sign * (frame["row"] == "predicted")
        named = {"run": folder.name, "encoder": encoder, "decoder": decoder, "subject": subject}
        return frame.assign(value=frame["value"] + change, **named)

    fixtures.change_scores(folder, "scores", shifted)
    _contributions(folder, images, better, draw)
    return folder


def _contributions(folder: Path, images: int, better: float, draw: int) -> None:
    """``region_contributions.parquet`` with voxel r of all voxels and of one region."""
    rng = np.random.default_rng(draw)
    ids = [f"scene-{k:03d}" for k in range(images)]
    lines = []
    for row, value in (("predicted", 0.3 + better), ("remeasured", 0.5)):
        for kind, region in (("all", "all voxels"), ("roi", "V1")):
            parts = rng.normal(0, 0.05, images)
            named = {"row": row, "metric": "voxel-r@1", "kind": kind, "region": region, "n_voxels": 12}
            parts = (value + parts - parts.mean()).tolist()
            lines.append({**named, "n": images, "value": value, "contributions": parts, "image_ids": ids})
    frame = pd.DataFrame(lines).assign(**fixtures.IDENTITY, pool="")[list(CONTRIBUTION_COLUMNS)]
    frame.to_parquet(folder / "region_contributions.parquet", index=False)


def flag(name: str, level: str = "alarm", message: str = "") -> dict[str, str]:
    return {"name": name, "level": level, "message": message}


def several(folder: Path) -> list[Path]:
    """Three encoders through two decoders: the second decoder likes the worst one most."""
    runs = []
    for decoder, order in (("linear", (0.0, 0.1, 0.2)), ("mindeye2", (0.3, 0.1, 0.2))):
        for encoder, better in zip(("ridge", "mlp", "chasm"), order):
            name = f"{encoder}-{decoder}"
            runs.append(board_run(folder / name, encoder=encoder, decoder=decoder, better=better))
    return runs
