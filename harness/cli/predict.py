"""``harness predict``: responses to new images by an encoder that is fitted already, or was pretrained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError, DataError
from ..reading.resizing import FITS
from .paths import UserPath
from .run import DATA_OPTIONS, STORE_OPTION

if TYPE_CHECKING:
    from ..run.predictions import ReadyEncoder
    from ..settings import Request, RunSettings
    from ..storage.store import Store

KEY = re.compile(r"[0-9a-f]{8,64}")
"""How a fit of the store is named: the beginning of its key, which ``run.json`` holds under ``artifacts``."""

_SETTINGS = ("seed", "samples", "micro_batch", "device", "adapt_images")
"""What of a run's settings its predictions hang on."""


@click.command()
@click.argument("model")
@click.argument("images", type=UserPath())
@click.option("-o", "--out", required=True, type=UserPath(), help="the .h5 to write")
@click.option("--samples", type=click.IntRange(min=1), help="draws per image of a stochastic encoder [1]")
@click.option("--seed", type=int, help="seed of every draw [the run's, else 0]")
@click.option("--device", help="cpu, cuda, cuda:N or mps [cpu]")
@click.option(
    "--image-fit",
    type=click.Choice(FITS),
    default=FITS[0],
    help=f"images of another shape than the training images [{FITS[0]}]",
)
@click.option(
    "--units", help="of what is written: percent, raw/300, raw/2000 ... [as the encoder was fitted]"
)
@click.option(
    "--own-code",
    is_flag=True,
    help="the run is yours: an encoder that it names as a file (path/file.py:Class) may be called",
)
@DATA_OPTIONS[0]
@DATA_OPTIONS[1]
@DATA_OPTIONS[3]
@STORE_OPTION
@click.option("-v", "--verbose", count=True, help="say what happens, with tracebacks")
def predict(model: str, images: Path, out: Path, **given: Any) -> None:
    """Predict responses to the images in the folder IMAGES by MODEL and write them to a .h5.

    MODEL is the folder of a run, the key of a fitted encoder in the store (beside it --benchmark and
    --subject), or a pretrained encoder: img2fmri:SUBJECT, berg:NAME, mosaic:NAME.  The file holds ids,
    predictions, the voxel space with its ceiling where that is known, and how far each image lies from the
    training images.
    """
    from ..places import store_folder
    from ..run.context import Context
    from ..run.predictions import predict as predicted
    from ..run.predictions import write_predictions
    from ..stages.features import FeatureStore
    from ..storage.disk import explained
    from ..storage.executors import Inline
    from ..storage.store import Store
    from .output import check_output
    from .progress import Bars, set_up_logging
    from .summary import console
    from .tables import say

    errors = console(errors=True)
    set_up_logging(given["verbose"], errors)
    check_output(out, endings=(".h5", ".hdf5"))
    store = Store(store_folder(given["store"]))
    with explained(store.root):
        ready, settings = ready_encoder(model, store, Bars(errors), given)
        executor = Inline()
        features = FeatureStore(store, executor, device=settings.device)
        context = Context(None, store, executor, features, Bars(errors))
        with context.stage("predict", len(list(images.iterdir())) if images.is_dir() else 1) as advance:
            responses = predicted(
                ready,
                images,
                fit=given["image_fit"],
                samples=settings.samples,
                seed=settings.seed,
                micro_batch=settings.micro_batch,
                features=features,
                place=context.place,
                progress=advance,
            )
        if given["units"]:
            responses = responses.in_units(given["units"], ready.space)
        write_predictions(out, ready, responses, seed=settings.seed, units=given["units"] or "")
    shown = console()
    simulated = ", simulated, not brain data" if ready.simulated else ""
    voxels = f"{ready.space.n_voxels:,} voxels of {ready.space.subject}{simulated}"
    say(shown, f"{len(responses.ids):,} images, {voxels}: {out}")
    for note in ready.notes:
        say(shown, f"note: {note}")
    if responses.novelty is None:
        say(shown, "note: how far the images lie from its training images is not known, which are not here")
    else:
        far = [name for name, share in zip(responses.ids, responses.share) if share == 0]
        say(
            shown,
            f"distance from the training images (1 is usual): median {_median(responses.novelty):.2f}; "
            f"{len(far)} farther out than any of these{': ' + ', '.join(far[:5]) if far else ''}",
        )
    store.close()


def ready_encoder(
    model: str, store: Store, reporter: Any, given: Mapping[str, Any]
) -> tuple[ReadyEncoder, RunSettings]:
    """The encoder that `model` names, and settings."""
    from ..run.context import Context
    from ..run.plan import make_plan
    from ..run.predictions import fitted_encoder

    if (Path(model) / "run.json").is_file():
        request, key = _of_run(Path(model), given)
    elif KEY.fullmatch(model):
        request, key = _of_fit(model, store, given)
    elif Path(model).is_dir():
        raise DataError(f"{model} is a folder without run.json; give the folder of a run")
    else:
        return _pretrained(model, given)
    context = Context.open(make_plan(request, need_decoder=False), store, reporter=reporter)
    return fitted_encoder(context, key), context.settings


def _pretrained(model: str, given: Mapping[str, Any]) -> tuple[ReadyEncoder, RunSettings]:
    """An encoder that brings its weights and voxels, by name."""
    from ..plugins import available, find
    from ..run.plan import make_plan
    from ..run.predictions import pretrained_encoder
    from ..settings import read_request

    name = model.partition(":")[0]
    if name not in {ref.name for ref in available("encoders")} or "/" in model:
        raise ConfigError(f"there is no run in {model}; give the folder of one, or the key of a fit")
    if not hasattr(find("encoders", name).load(), "own_space"):
        raise ConfigError(f"encoder '{name}' is fitted: give the folder of a run that fitted it")
    request = read_request(None, list(given["assignments"]), plugins={"encoder": model})
    values = {**request.values, "run": _settings(given)}
    plan = make_plan(replace(request, values=values), need_decoder=False)
    plan.require_files()
    ready = pretrained_encoder(plan.encoder, plan.encoder_params, device=plan.settings.device)
    return ready, plan.settings


def _of_run(folder: Path, given: Mapping[str, Any]) -> tuple[Request, str]:
    """What a run asked for, its encoder alone, and the key of what was fitted."""
    from ..results import RunResult
    from ..submitting.cards import is_file
    from ..submitting.remade import request_of

    record = RunResult.open(folder).record
    if record.encoder is None:
        raise DataError(f"{folder} is a run without an encoder; give one that has one")
    if is_file(record.encoder.name) and not given["own_code"]:
        raise ConfigError(
            f"the encoder of {folder} is the file {record.encoder.name}, and code that a record names is not "
            "run; where the run is your own, add --own-code"
        )
    asked = request_of(record)
    settings = {name: asked.values["run"][name] for name in _SETTINGS if name in asked.values["run"]}
    values = {**asked.values, "run": {**settings, **_settings(given)}}
    return replace(asked, decoder=None, values=values), record.artifacts.get("encoder", "")


def _of_fit(key: str, store: Store, given: Mapping[str, Any]) -> tuple[Request, str]:
    """The encoder that the store keeps under a key that begins with `key`, on the benchmark that is named."""
    from ..settings import read_request

    keys = [folder.name for folder in (store.root / "fit" / key[:2]).glob(f"{key}*")]
    if len(keys) != 1:
        many = f"{len(keys)} fits whose keys begin" if keys else "no fit whose key begins"
        raise DataError(f"{store.root} holds {many} with {key}; 'artifacts' in run.json has whole keys")
    artifact = store.open("fit", keys[0])
    made_of = {} if artifact is None else artifact.json("manifest")["ingredients"]
    if "training" not in made_of or "params" not in made_of:
        raise DataError(f"the fit {key} says nothing of what it is; make its run again")
    names = {"encoder": made_of["plugin"], "benchmark": given["benchmark"], "subject": given["subject"]}
    request = read_request(None, list(given["assignments"]), plugins=names)
    settings = {**request.values.get("run", {}), **_settings(given)}
    values = {**request.values, "encoder": made_of["params"], "run": settings}
    return replace(request, values=values), keys[0]


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were typed; everything is computed in this process."""
    typed = {name: given[name] for name in ("seed", "samples", "device") if given[name] is not None}
    return {**typed, "executor": "inline", "workers": 1}


def _median(values: Any) -> float:
    import numpy as np

    return float(np.median(values))
