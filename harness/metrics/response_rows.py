"""Encoding scores as rows: predicted against measured responses, before any decoder."""

from __future__ import annotations

from typing import Any

from ..catalogue import Metric, call
from .meanings import MEANINGS


def encoding(name: str, label: str, score: str, /, *gets: str, unit: str = "voxel", **fields: Any) -> Metric:
    """A row of responses: `score` (``module:function`` of this package) with the keywords `gets`."""
    shared = {"targets": (), "by_region": True, "meaning": MEANINGS.get(name, "")}
    target = call(f"harness.metrics.{score}") if isinstance(score, str) else score
    return Metric(
        name=name, label=label, inputs="responses", score=target, gets=gets, unit=unit, **{**shared, **fields}
    )


def _published(name: str, label: str, score: str, unit: str = "image", **fields: Any) -> Metric:
    """Another group's definition, which compares with single trials; off unless asked for by name."""
    fields = {"by_region": False, "default": False, **fields}
    return encoding(name, label, f"published:{score}", "trials", "image_index", unit=unit, **fields)


RESPONSES = (
    encoding("voxel-r", "voxel r", "encoding:voxel_r", chance=0.0),
    encoding(
        "truth-r", "voxel r with the truth", "encoding:voxel_r_truth", "truth", chance=0.0, default=False
    ),
    encoding("voxel-r2", "voxel R²", "encoding:voxel_r2"),
    encoding("voxel-mse", "voxel MSE", "encoding:voxel_mse", higher_is_better=False),
    encoding("voxel-r2-nc", "voxel r² / ceiling", "encoding:voxel_r2_nc", "ceiling"),
    encoding("voxel-r-nc", "voxel r / √ceiling", "ceilings:voxel_r_nc", "ceiling", chance=0.0, default=False),
    encoding("variance-ratio", "SD ratio", "encoding:variance_ratio"),
    encoding("pattern-r", "pattern r", "encoding:pattern_r", "baseline", unit="image", chance=0.0),
    encoding("pattern-r-raw", "pattern r (raw)", "encoding:pattern_r", unit="image"),
    encoding(
        "pattern-cosine",
        "pattern cosine",
        "encoding:pattern_cosine",
        "baseline",
        unit="image",
        chance=0.0,
        default=False,
    ),
    encoding(
        "pattern-2way",
        "pattern 2-way",
        "encoding:pattern_two_way",
        "baseline",
        "copies",
        "rivalry",
        unit="image",
        pool=True,
        smallest_pool=2,
        chance=0.5,
    ),
    encoding("rsa", "RSA", "encoding:rsa", unit="set", pool=True, chance=0.0),
    encoding(
        "rsa-spearman",
        "RSA (Spearman)",
        call("harness.metrics.encoding:rsa", ranked=True),
        unit="set",
        pool=True,
        chance=0.0,
        default=False,
    ),
    encoding("cka", "CKA (biased)", "alignment:linear_cka", unit="set", pool=True, default=False),
    encoding(
        "cka-debiased",
        "CKA (debiased)",
        call("harness.metrics.alignment:linear_cka", debiased=True),
        unit="set",
        pool=True,
        chance=0.0,
        default=False,
    ),
    encoding(
        "mse-explained",
        "error removed",
        "ceilings:mse_explained",
        "baseline",
        "ceiling",
        unit="set",
        chance=0.0,
    ),
    encoding(
        "category-contrast",
        "category contrast r",
        "contrasts:category_contrast",
        "labels",
        labels=("category",),
        unit="set",
        pool=True,
        chance=0.0,
    ),
    # Of areas only, since a mean over all voxels prefers nothing.
    encoding(
        "category-profile",
        "category profile r",
        "contrasts:category_preference",
        "labels",
        labels=("category",),
        unit="region",
        pool=True,
        chance=0.0,
        describes_measured=True,
    ),
    # Beside voxel r, the gain of averaging samples.
    encoding(
        "voxel-r-one-sample", "voxel r, one sample", "sampled:voxel_r_of_samples", "samples", chance=0.0
    ),
    encoding(
        "sample-spread",
        "sample SD / trial SD",
        "sampled:sample_spread",
        "samples",
        "trials",
        "image_index",
    ),
    encoding(
        "energy-distance",
        "energy distance",
        "sampled:sample_energy_distance",
        "samples",
        "trials",
        "image_index",
        unit="image",
        higher_is_better=False,
    ),
    *(
        encoding(
            f"neighbours{size}-{score}",
            f"{label} of {size} neighbours",
            call(f"harness.metrics.neighbours:neighbours_{score}", size=size),
            unit="set",
            default=False,
            **more,
        )
        for size in (10, 30)
        for score, label, more in (
            ("r", "r", {"chance": 0.0}),
            ("mse", "MSE", {"higher_is_better": False}),
        )
    ),
    _published("synbrain-mse", "SynBrain MSE", "synbrain_mse", higher_is_better=False),
    _published("synbrain-r", "SynBrain r", "synbrain_r"),
    _published("synbrain-cosine", "SynBrain cosine", "synbrain_cosine"),
    _published("synbrain-cka", "SynBrain CKA", "synbrain_cka_of_trials", "set", pool=True),
    _published("mindsimulator-mse", "MindSimulator MSE", "mindsimulator_mse", higher_is_better=False),
    _published("mindsimulator-r", "MindSimulator r", "mindsimulator_r"),
    _published("mindsimulator-r2", "MindSimulator R²", "mindsimulator_r2", "voxel"),
    encoding(
        "algonauts-2023",
        "Algonauts 2023 (%)",
        "published:algonauts_2023",
        "ceiling",
        unit="set",
        default=False,
    ),
    _published("algonauts-2021", "Algonauts 2021", "algonauts_2021", "voxel", by_region=True),
)
