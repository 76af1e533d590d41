"""``harness rsa``: models against measured RDMs, with the noise ceiling."""

from __future__ import annotations

from typing import Any

import click

from .run import DATA_OPTIONS, STORE_OPTION


@click.command()
@click.argument("models", nargs=-1)
@click.option("--distance", default="correlation", help="correlation, euclidean or cosine [correlation]")
@click.option(
    "--own-code", is_flag=True, help="encoders that a run names as files (path/file.py:Class) may be called"
)
@DATA_OPTIONS[0]
@DATA_OPTIONS[3]
@click.option("--device", help="cpu, cuda, cuda:N or mps [cpu]")
@STORE_OPTION
def rsa(models: tuple[str, ...], **given: Any) -> None:
    """Compare MODELS with measured RDMs by Spearman correlation, beside the noise ceiling and labels.

    A model is BACKBONE:LAYER, a file of predictions (harness predict), or the folder of a run, whose encoder
    then predicts the images.  Voxels and features count alike: what is compared is which images are alike.
    """
    from functools import partial

    from ..places import store_folder
    from ..run.plan import requested_benchmark
    from ..run.similarities import MeasuredRdms, model_patterns, similarities
    from ..settings import read_request
    from ..stages.features import FeatureStore
    from ..storage.disk import explained
    from ..storage.executors import Inline
    from ..storage.store import Store
    from .predict import ready_encoder
    from .progress import Bars
    from .summary import console
    from .tables import print_table, say

    name = given["benchmark"] or "kriegeskorte2008"
    request = read_request(None, list(given["assignments"]), plugins={"benchmark": name})
    ref, params = requested_benchmark(request)
    measured = MeasuredRdms.of(ref.load()(params), name=name)
    store, executor = Store(store_folder(given["store"])), Inline()
    features = FeatureStore(store, executor, device=given["device"] or "cpu")
    typed = {"seed": None, "samples": None, **given}
    with explained(store.root):
        patterns = partial(
            model_patterns,
            stimuli=measured.stimuli,
            features=features,
            fitted=lambda model: ready_encoder(model, store, Bars(console(errors=True)), typed)[0],
            place={"store": store, "executor": executor},
        )
        lines = similarities(measured, models, patterns, distance=given["distance"])
    lower, upper = measured.ceiling()
    shown = console()
    heads = ("model", "each subject", "mean RDM", "share of the ceiling")
    table = [
        (line.model, f"{line.subjects:.3f}", f"{line.group:.3f}", f"{line.subjects / upper:.0%}")
        for line in lines
    ]
    ceiling = ("noise ceiling", f"{lower:.3f} to {upper:.3f}", "", "")
    print_table(shown, heads, [*table, ceiling], grouped=False)
    say(
        shown,
        f"{len(measured.stimuli)} images, {len(measured.subjects)} subjects; Spearman's correlation of RDMs "
        f"({given['distance']}), mean over subjects, which the ceiling bounds, and with their mean RDM",
    )
    store.close()
