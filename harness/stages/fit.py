"""Stage fit: train an encoder or a decoder on training splits, once per identity.

What is kept is the folder that the plugin's own ``save`` wrote; checkpoints lie in a folder of
their own, outlive a kill and go when the artifact is complete.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import SubjectData, VoxelSpace
from ..errors import PluginError
from ..notices import Flag, hearing_warnings
from ..plugins import PluginRef
from ..settings import resolve_params
from ..storage.identity import code_sha, module_sha, named_files
from ..storage.store import Store, is_known, key_of, save_json
from .features import FeatureStore, backbone_identity
from .guard import guarded, is_pretrained
from .plugin_features import PluginFeatures

logger = logging.getLogger(__name__)


WARNED = "harness-warned"
"""File beside what a plugin saved: what was warned of while it was fitted."""


@dataclass(frozen=True)
class Model:
    """A plugin with its parameters and, once fitted, where its weights lie.  Picklable.

    key : identity of the fitted model, or ``""`` when it has none.
    folder : what ``save`` wrote; ``""`` for a model that loads its own pretrained weights.
    warned : what was warned of while it was fitted, now or long ago.
    """

    ref: PluginRef
    params: Any
    key: str
    folder: str
    device: str
    warned: tuple[Flag, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker cannot unpickle an instance of a class in a path plugin's file before loading it.
        values = dataclasses.asdict(self.params)
        return _restored, (self.ref, values, self.key, self.folder, self.device)

    def load(self, space: VoxelSpace) -> Any:
        """The fitted plugin object; decoders are opened for `space`."""
        plugin = self.ref.load()
        if self.folder:
            again = f"cannot be loaded from {self.folder} (remove that folder and it is fitted again)"
            read = functools.partial(plugin.load, Path(self.folder), self.params, device=self.device)
            model = guarded(self.ref, again, read)
        elif is_pretrained(plugin, self.params):
            start = functools.partial(plugin.from_pretrained, self.params, space, device=self.device)
            model = guarded(self.ref, "cannot be loaded from its pretrained weights", start)
        else:
            model = plugin(self.params)
        if self.ref.group == "decoders":
            model.open(space, device=self.device)
        return model


def _restored(ref: PluginRef, values: dict[str, Any], key: str, folder: str, device: str) -> Model:
    return Model(ref, resolve_params(ref.load().Params, values, section=ref.kind), key, folder, device)


def plugin_identity(ref: PluginRef, params: Any) -> dict[str, Any]:
    """Name, version, source, parameters with the files they name, and own weights of a plugin."""
    plugin = ref.load()
    given = _identifying(params)
    identity = {
        "plugin": ref.name,
        "dist": f"{ref.dist} {ref.dist_version}",
        "version": plugin.version,
        "code": code_sha(ref),
        "params": given,
        "files": named_files(given),
    }
    if hasattr(plugin, "identity"):
        identity["weights"] = guarded(ref, "cannot say its identity", lambda: plugin(params).identity())
    return identity


def fit_encoder(
    ref: PluginRef,
    params: Any,
    subjects: list[SubjectData],
    *,
    features: FeatureStore,
    store: Store,
    seed: int,
    device: str,
) -> Model:
    """Fit on the training splits of `subjects`, or find the artifact that did."""
    encoder = guarded(ref, "cannot be built", lambda: ref.load()(params))
    wants = tuple(encoder.wants())
    ingredients = {
        **plugin_identity(ref, params),
        "features": [(backbone_identity(name), layer) for name, layer in wants],
        **_training_identity(subjects, seed=seed, device=device),
    }

    own = PluginFeatures(features, store, ref, device=device)

    def train(checkpoint_dir: Path) -> Any:
        encoder.fit(
            [data.training() for data in subjects],
            own,
            seed=seed,
            device=device,
            checkpoint_dir=checkpoint_dir,
        )
        return encoder

    return _fit(ref, params, ingredients, train, store=store, device=device)


def adapt_encoder(
    fitted: Model, data: SubjectData, *, features: FeatureStore, store: Store, seed: int, device: str
) -> Model:
    """The encoder `fitted` on others, adapted to the training split of `data`; an artifact of its own."""
    ref, params = fitted.ref, fitted.params
    ingredients = {
        **plugin_identity(ref, params),
        "adapted from": fitted.key,
        **_training_identity([data], seed=seed, device=device),
    }

    own = PluginFeatures(features, store, ref, device=device)

    def train(checkpoint_dir: Path) -> Any:
        encoder = fitted.load(data.space)
        encoder.adapt(data.training(), own, seed=seed, device=device, checkpoint_dir=checkpoint_dir)
        return encoder

    return _fit(ref, params, ingredients, train, store=store, device=device)


def fit_decoder(
    ref: PluginRef,
    params: Any,
    data: SubjectData,
    *,
    features: FeatureStore,
    store: Store,
    seed: int,
    device: str,
) -> Model:
    """Fit on the training split of `data`, or load what a pretrained decoder brings."""
    plugin = ref.load()
    identity = plugin_identity(ref, params)
    if is_pretrained(plugin, params):
        known = {**identity, "space": data.space.sha}
        return Model(ref, params, key_of("fit", known) if is_known(known) else "", "", device)
    decoder = guarded(ref, "cannot be built", lambda: plugin(params))
    own = [PluginFeatures(features, store, ref, device=device)] if takes_features(decoder, ref) else []
    ingredients = {
        **identity,
        "features": [(backbone_identity(name), layer) for name, layer in wanted(decoder)],
        **_training_identity([data], seed=seed, device=device),
    }

    def train(checkpoint_dir: Path) -> Any:
        decoder.fit(data.training(), *own, seed=seed, device=device, checkpoint_dir=checkpoint_dir)
        return decoder

    return _fit(ref, params, ingredients, train, store=store, device=device)


def wanted(plugin: Any) -> tuple[tuple[str, str], ...]:
    """The (backbone, layer) pairs that an encoder or decoder wants; none without ``wants``."""
    return tuple(plugin.wants()) if hasattr(plugin, "wants") else ()


def takes_features(decoder: Any, ref: PluginRef) -> bool:
    """Whether ``decoder.fit`` takes `features` after the subject, as it does since there are any.

    Raises
    ------
    PluginError
        It takes neither the subject alone nor both.
    """
    for kind in type(decoder).__mro__:
        if "fit" not in vars(kind):
            continue
        parameters = list(inspect.signature(kind.fit).parameters.values())[1:]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            continue  # it hands on what it gets
        placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if len(placed) > 1 and placed[1].name not in KEYWORDS:
            return True
        if placed:
            return False
        break
    else:
        return True
    raise PluginError(
        f"decoder '{ref.name}' ({ref.dist}): fit takes no subject; expected "
        "def fit(self, subject, features, *, seed, device, checkpoint_dir)"
    )


KEYWORDS = ("seed", "device", "checkpoint_dir")
"""What every ``fit`` gets by name."""


def _identifying(params: Any) -> Any:
    """`params` without the fields whose metadata says that neither a fit nor what it predicts has them in."""
    if not dataclasses.is_dataclass(params):
        return params
    named = [f.name for f in dataclasses.fields(params) if f.metadata.get("identity", True)]
    return {name: getattr(params, name) for name in named}


def _training_identity(subjects: list[SubjectData], *, seed: int, device: str) -> dict[str, Any]:
    return {
        "training": [(data.space.sha, data.train.stimuli.sha, data.train.responses.sha) for data in subjects],
        "seed": seed,
        "device": device.partition(":")[0],
        "stage": module_sha(__name__),
    }


def _fit(
    ref: PluginRef,
    params: Any,
    ingredients: dict[str, Any],
    train: Callable[[Path], Any],
    *,
    store: Store,
    device: str,
) -> Model:
    def make(folder: Path) -> None:
        checkpoints = store.checkpoints(key_of("fit", ingredients))
        with hearing_warnings("fit-warning", plugin=ref.load().__module__) as warned:
            model = guarded(ref, "fails while fitting", lambda: train(checkpoints), place=store.root)
        guarded(ref, "fails while saving", lambda: model.save(folder), place=store.root)
        save_json(folder, WARNED, [dataclasses.asdict(flag) for flag in warned])

    artifact = store.get("fit", ingredients, make)
    known = is_known(ingredients)
    warned = tuple(Flag(**flag) for flag in artifact.json(WARNED))
    return Model(ref, params, artifact.key if known else "", str(artifact.folder), device, warned)
