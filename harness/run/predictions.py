"""New images through an encoder that is fitted already: what ``harness predict`` computes and writes.

The file is HDF5.  ``ids`` (N,), ``predictions`` (N, S, V) and their ``units`` are what ``--encoder file:``
reads again; beside each image stand ``novelty`` (N,), its distance from the training images
(:mod:`harness.solvers.novelty`), and ``novelty_share`` (N,), the share of training images that are farther
out.  Of the space there are ``valid``, ``ncsnr`` and ``noise_ceiling`` (V,), ``coordinates``, ``rois/NAME``
and ``groups/NAME`` where they are known, ``%2F`` for a slash in NAME; the rest is in attributes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import ImageSet, Split, Stimuli, VoxelSpace
from ..errors import ConfigError, DataError, SpaceMismatch
from ..plugins import PluginRef
from ..reading.image_files import ImageFolder, image_names, read_image
from ..reading.pixels import FILE, Scale
from ..reading.resizing import Resize
from ..rows.opaque import TRUE_IDS, OpaqueNames
from ..solvers.novelty import novelty
from ..solvers.saved import replaced
from ..stages.encode import encode
from ..stages.extraction import BATCH
from ..stages.features import FeatureStore, backbone_identity
from ..stages.fit import fitted_model, plugin_identity, wanted
from ..stages.guard import guarded
from ..stages.model import Configured, Model
from ..stages.precomputed import FilePredictions
from ..storage.content import plain
from ..storage.store import is_known, key_of
from ..units import converted
from .context import Context
from .preparation import prepare
from .shares import few

SCHEMA = 1
"""Version of the file."""

FEW = 3
"""Training images that a distance needs at least."""

FILTER = "bicubic"


@dataclass(frozen=True)
class ReadyEncoder:
    """An encoder that predicts, and what is known of what it predicts.

    training : images that it was fitted on, None where they are not here.  counts : (N,) repeats of the test
    images, for which a ceiling is given; None for one trial.  notes : sentences that a reader must know.
    test : images and responses that the encoder was not fitted on, and `names` that it sees them under.
    """

    model: Model
    space: VoxelSpace
    training: Stimuli | None = None
    counts: np.ndarray | None = None
    simulated: bool = False
    notes: tuple[str, ...] = ()
    test: Split | None = None
    names: OpaqueNames = TRUE_IDS


@dataclass(frozen=True)
class Predictions:
    """(N, S, V) responses to images, and (N,) how far each lies from the training images, None if unknown."""

    ids: tuple[str, ...]
    responses: np.ndarray
    novelty: np.ndarray | None
    share: np.ndarray | None

    def in_units(self, wanted: str, space: VoxelSpace) -> Predictions:
        """The same, of `space`, as numbers in the units `wanted`."""
        values = converted(self.responses, space.units, wanted, space, what="predictions")
        return replace(self, responses=values)


def fitted_encoder(context: Context, key: str) -> ReadyEncoder:
    """The encoder of ``context.plan`` as the store keeps it under `key`.

    Raises
    ------
    DataError
        It is not in the store, or is a fit of something else.
    SpaceMismatch
        It was fitted on another subject.
    """
    plan = context.plan
    if plan.encoder is None or plan.encoder.load() is FilePredictions:
        raise ConfigError("its predictions lie in a file: there is no encoder that could see new images")
    artifact = context.store.open("fit", key) if key else None
    if artifact is None:
        raise DataError(
            f"{context.store.root} does not hold the encoder that was fitted ({key[:12] or 'no key'}); make "
            "the run again with this store, or name another with --store"
        )
    made_of = artifact.json("manifest")["ingredients"]
    if made_of.get("plugin") != plan.encoder.name:
        raise DataError(
            f"the fit {key[:12]} is of '{made_of.get('plugin')}', not of encoder '{plan.encoder.name}'"
        )
    prepared = prepare(context)
    data = prepared.data
    others = [] if not getattr(plan.encoder.load(), "any_space", False) else list(prepared.training)
    adapted_on = few(data, context.settings.adapt_images)
    fitted_on = {tuple(part) for part in made_of.get("training", ())}
    of_data = [
        part
        for part in (data, adapted_on, *others)
        if (part.space.sha, part.train.stimuli.sha, part.train.responses.sha) in fitted_on
    ]
    if not of_data:
        raise SpaceMismatch(
            f"the fit {key[:12]} is not of these training data of {data.space.subject}; name its benchmark, "
            "subject and parameters: --benchmark NAME --subject NAME --set benchmark.KEY=VALUE, and of one "
            "that was adapted to some images how many: --set run.adapt_images=N"
        )
    notes = []
    if made_of.get("code") != plugin_identity(plan.encoder, plan.encoder_params)["code"]:
        notes.append("the encoder's code has changed since it was fitted")
    return ReadyEncoder(
        fitted_model(
            plan.encoder, plan.encoder_params, key, str(artifact.folder), device=context.settings.device
        ),
        data.space,
        of_data[0].train.stimuli,
        data.test.responses.counts(),
        bool(plan.benchmark.load().simulated),
        (*notes, *(flag.message for flag in artifact.warned())),
        data.test,
        prepared.names,
    )


def pretrained_encoder(ref: PluginRef, params: Any, *, device: str) -> ReadyEncoder:
    """An encoder that brings its weights and its voxel space.

    Raises
    ------
    WeightsMissing, ConfigError
        Its weights or a licence are not here.
    """
    built = Configured(ref, params).build()
    space = guarded(ref, "cannot say what it predicts", built.own_space)
    made_of = plugin_identity(ref, params) | {
        "features": [(backbone_identity(name), layer) for name, layer in wanted(built)]
    }
    key = key_of("fit", made_of) if is_known(made_of) else ""
    return ReadyEncoder(Model(ref, params, key, "", device), space)


def predict(
    ready: ReadyEncoder,
    folder: Path,
    *,
    fit: str,
    samples: int,
    seed: int,
    micro_batch: int,
    features: FeatureStore,
    place: dict[str, Any],
    progress: Callable[[int], None] = lambda images: None,
) -> Predictions:
    """Predictions for every image in `folder`, in the order of their names.

    fit : what becomes of images of another shape than the training images (:class:`Resize`).
    samples : draws per image of an encoder that is stochastic.
    place : the store and the executor.
    """
    size = () if ready.training is None else ready.training.images(ready.training.ids[:1]).shape[1:3]
    draws = samples if ready.model.ref.load().stochastic is not False else 1
    sets = image_sets(folder, size=size, fit=fit)
    responses, distances = [], []
    for stimuli in sets:
        responses.append(
            encode(
                ready.model,
                stimuli,
                space=ready.space,
                features=features,
                **place,
                seed=seed,
                samples=draws,
                micro_batch=micro_batch,
                progress=progress,
            )
        )
        distances.append(_novelty(ready, stimuli, features))
    ids = [name for stimuli in sets for name in stimuli.ids]
    order = np.argsort(np.array(ids), kind="stable")
    near = None if distances[0] is None else np.concatenate(distances, axis=1)[:, order]
    return Predictions(
        tuple(ids[k] for k in order),
        np.concatenate(responses)[order],
        *((None, None) if near is None else near),
    )


def image_sets(folder: Path, *, size: Sequence[int], fit: str) -> list[Stimuli]:
    """The images in `folder`, called by their file names without endings; a set for each size.

    size : (height, width) that all are brought to; empty leaves each at its own.

    Raises
    ------
    DataError
        No image, two of one name, or an unreadable file.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give one that holds images")
    names = image_names(folder, below=False) or image_names(folder, below=True)
    ids = [name.rpartition(".")[0] for name in names]
    twice = next((name for name, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{folder} holds two images called '{twice}'; give each a name of its own")
    resize = Resize(tuple(size), FILTER, fit) if size else Resize()
    by_size: dict[tuple[int, ...], list[str]] = {}
    for name, file in zip(ids, names):
        own = tuple(size) or read_image(folder / file).shape[:2]
        by_size.setdefault(tuple(own), []).append(name)
    if not by_size:
        ImageFolder(folder, ["none"], scale=Scale(door=FILE))  # says which endings it looked for
    folders = [ImageFolder(folder, of, scale=Scale(door=FILE), resize=resize) for of in by_size.values()]
    return [Stimuli(images.ids, images.read) for images in folders]


def _novelty(ready: ReadyEncoder, stimuli: Stimuli, features: FeatureStore) -> np.ndarray | None:
    """(2, N) distances and shares, in the smallest of the layers that the encoder looks at."""
    if ready.training is None or len(ready.training) < FEW:
        return None
    layers = wanted(Configured(ready.model.ref, ready.model.params).build()) or (("pixels", "rgb16"),)
    first = ready.training.select(ready.training.ids[:BATCH])
    backbone, layer = min(layers, key=lambda pair: _pooled(features, pair, first).shape[1])
    trained, images = (_pooled(features, (backbone, layer), images) for images in (ready.training, stimuli))
    return np.stack(novelty(trained, images))


def _pooled(features: FeatureStore, pair: tuple[str, str], images: ImageSet) -> np.ndarray:
    """(N, p) features; the mean over tokens where there are several, a batch at a time."""
    folders = features.folders(*pair, images)
    batches = [np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False) for folder in folders]
    pooled = [
        batch.mean(axis=1, dtype=np.float32) if batch.ndim == 3 else batch.reshape(len(batch), -1)
        for batch in batches
    ]
    return np.concatenate(pooled).astype(np.float32, copy=False)


def write_predictions(
    file: Path, ready: ReadyEncoder, predicted: Predictions, *, seed: int, units: str = ""
) -> None:
    """Write `file` as the module says, whole or not at all.

    units : of `predicted`, where they are not those of the space.
    """
    import h5py

    space, ref = ready.space, ready.model.ref
    if units:
        space = replace(space, units=units)
    text = h5py.string_dtype()
    with replaced(file) as place, h5py.File(place, "w") as out:
        out.create_dataset("ids", data=list(predicted.ids), dtype=text)
        out.create_dataset("predictions", data=predicted.responses)
        out.create_dataset("units", data=[space.units], dtype=text)
        counts = np.ones(1) if ready.counts is None else ready.counts
        arrays = {
            "novelty": predicted.novelty,
            "novelty_share": predicted.share,
            "valid": space.valid,
            "ncsnr": space.ncsnr,
            "noise_ceiling": space.noise_ceiling(counts),
            "coordinates": space.coordinates,
        }
        arrays |= {f"rois/{_link(name)}": members for name, members in space.rois.items()}
        arrays |= {f"groups/{_link(name)}": members for name, members in space.groups.items()}
        for name, values in arrays.items():
            if values is not None:
                out.create_dataset(name, data=np.asarray(values))
        sets = _training_sets(ready)
        if sets:
            out.create_dataset("training_sets", data=sets, dtype=text)
        out.attrs.update(
            {
                "schema": SCHEMA,
                "encoder": ref.name,
                "distribution": f"{ref.dist} {ref.dist_version}".strip(),
                "encoder_version": str(ref.load().version),
                "params": json.dumps(plain(ready.model.params)),
                "fit": ready.model.fit_key or ready.model.key,
                **{name: getattr(space, name) for name in ("dataset", "subject", "mask", "units")},
                "space": space.sha,
                "simulated": ready.simulated,
                "ceiling_trials": float(1 / np.mean(1.0 / counts)),
                "seed": seed,
                "notes": "\n".join(ready.notes),
            }
        )


def _link(name: str) -> str:
    """`name` of a region in HDF5, where ``/`` opens a group, ``.`` is the group itself and NUL ends a name:
    they are written as in addresses (``V1%2FV2``).
    """
    name = re.sub("[%/\0]", lambda match: f"%{ord(match[0]):02X}", name)
    return "%2E" if name == "." else name


def _training_sets(ready: ReadyEncoder) -> list[str]:
    """Names of published image sets that the encoder says it was trained on."""
    built = Configured(ready.model.ref, ready.model.params).build()
    return sorted(map(str, getattr(built, "training_sets", tuple)()))
