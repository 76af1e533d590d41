"""Stage fit: train an encoder or a decoder on training splits, once per identity.

What is kept is the folder that the plugin's own ``save`` wrote; checkpoints lie in a folder of
their own, outlive a kill and go when the artifact is complete.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..data import SubjectData
from ..errors import PluginError
from ..notices import Flag
from ..plugins import PluginRef
from ..storage.cached import Item, cached_map, key_for
from ..storage.content import digest
from ..storage.executors import Executor
from ..storage.identity import code_sha, named_files
from ..storage.store import Store, is_known, key_of
from ..training.devices import world_size
from .data import reference_to
from .features import FeatureStore, backbone_identity
from .fitting import adapt_model, fit_model
from .guard import guarded, is_pretrained
from .model import Configured, Model
from .plugin_features import PluginFeatures


def plugin_identity(ref: PluginRef, params: Any, *, fitting: bool = False) -> dict[str, Any]:
    """Name, version, source, parameters with the files they name, and own weights of a plugin.

    fitting : without the parameters that predictions alone depend on.
    """
    plugin = ref.load()
    given = _identifying(params, fitting=fitting)
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
    subjects: Sequence[SubjectData],
    *,
    features: FeatureStore,
    store: Store,
    executor: Executor,
    seed: int,
    device: str,
) -> Model:
    """Fit on the training splits of `subjects`, or find the artifact that did."""
    plugin = Configured(ref, params)
    layers = wanted(plugin.build())
    ingredients = {
        **plugin_identity(ref, params, fitting=True),
        "features": [(backbone_identity(name), layer) for name, layer in layers],
        **_training_identity(subjects, seed=seed, device=device),
        **_reading_identity(plugin, subjects),
    }
    given = lambda: _given(ref, features, layers, subjects)  # noqa: E731
    how = {"store": store, "executor": executor, "seed": seed, "device": device}
    return _fit(fit_model, plugin, ingredients, subjects, given, **how)


def adapt_encoder(
    fitted: Model,
    data: SubjectData,
    *,
    features: FeatureStore,
    store: Store,
    executor: Executor,
    seed: int,
    device: str,
) -> Model:
    """The encoder `fitted` on others, adapted to the training split of `data`; an artifact of its own."""
    ref, params = fitted.ref, fitted.params
    ingredients = {
        **plugin_identity(ref, params),
        "adapted from": fitted.key,
        **_training_identity([data], seed=seed, device=device),
        **_reading_identity(fitted, [data]),
    }
    given = lambda: _given(ref, features, wanted(fitted.build()), [data])  # noqa: E731
    how = {"store": store, "executor": executor, "seed": seed, "device": device}
    return _fit(adapt_model, fitted, ingredients, [data], given, **how)


def fit_decoder(
    ref: PluginRef,
    params: Any,
    data: SubjectData,
    *,
    features: FeatureStore,
    store: Store,
    executor: Executor,
    seed: int,
    device: str,
) -> Model:
    """Fit on the training split of `data`, or load what a pretrained decoder brings."""
    if is_pretrained(ref.load(), params):
        of_pretrained = {**plugin_identity(ref, params), "space": data.space.sha}
        return Model(ref, params, key_of("fit", of_pretrained) if is_known(of_pretrained) else "", "", device)
    plugin, given, ingredients = _of_decoder(ref, params, data, features=features, seed=seed, device=device)
    how = {"store": store, "executor": executor, "seed": seed, "device": device}
    return _fit(fit_model, plugin, ingredients, [data], given, **how)


def decoder_targets(
    ref: PluginRef,
    params: Any,
    data: SubjectData,
    *,
    features: FeatureStore,
    store: Store,
    executor: Executor,
    seed: int,
    device: str,
    shares: int,
) -> list[tuple[Any, ...]]:
    """Arguments of :func:`.fitting.compute_targets`, one for each share of what a decoder's fit will compute.

    There are none where it is fitted already, has no ``targets``, or takes no features.
    """
    if is_pretrained(ref.load(), params) or not hasattr(ref.load(), "targets"):
        return []
    plugin, given, ingredients = _of_decoder(ref, params, data, features=features, seed=seed, device=device)
    if is_known(ingredients) and store.open("fit", key_for("fit", fit_model, ingredients)) is not None:
        return []
    whole = given()
    if whole is None:
        return []
    subject = reference_to(data, executor)
    parts = [replace(whole, share=(which, shares)) for which in range(shares)]
    return [(plugin, subject, part, seed, device, str(store.root)) for part in parts]


def _of_decoder(
    ref: PluginRef, params: Any, data: SubjectData, *, features: FeatureStore, seed: int, device: str
) -> tuple[Configured, Callable[[], PluginFeatures | None], dict[str, Any]]:
    """The decoder, a call that gives its features, and all that its fit depends on."""
    plugin = Configured(ref, params)
    decoder = plugin.build()
    takes, layers = takes_features(decoder, ref), wanted(decoder)
    ingredients = {
        **plugin_identity(ref, params),
        "features": [(backbone_identity(name), layer) for name, layer in layers],
        **_training_identity([data], seed=seed, device=device),
    }
    return plugin, lambda: _given(ref, features, layers, [data]) if takes else None, ingredients


def wanted(plugin: Any) -> tuple[tuple[str, str], ...]:
    """The (backbone, layer) pairs that an encoder or decoder wants; none without ``wants``."""
    return tuple(plugin.wants()) if hasattr(plugin, "wants") else ()


def texts_wanted(plugin: Any) -> tuple[str, ...]:
    """Backbones through which an encoder reads captions or labels; none without ``wants_text``."""
    return tuple(plugin.wants_text()) if hasattr(plugin, "wants_text") else ()


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


def fit_reads(field: dataclasses.Field[Any]) -> bool:
    """Whether a fit depends on a parameter, by its field's metadata."""
    return field.metadata.get("identity", True) and field.metadata.get("fit", True)


def _identifying(params: Any, *, fitting: bool) -> Any:
    """`params` without the fields whose metadata says that neither a fit nor what it predicts has them in.

    fitting : and without those that no fit reads.
    """
    if not dataclasses.is_dataclass(params):
        return params
    named = [f for f in dataclasses.fields(params) if f.metadata.get("identity", True)]
    return {f.name: getattr(params, f.name) for f in named if not fitting or fit_reads(f)}


def predicting(params: Any) -> dict[str, Any]:
    """Parameters that predictions alone read (metadata ``{"fit": False}``), where not the default."""
    if not dataclasses.is_dataclass(params):
        return {}
    named = [f for f in dataclasses.fields(params) if not f.metadata.get("fit", True)]
    return {f.name: getattr(params, f.name) for f in named if getattr(params, f.name) != f.default}


def _training_identity(subjects: Sequence[SubjectData], *, seed: int, device: str) -> dict[str, Any]:
    processes = world_size()  # gradients of several are averaged: other weights than one has
    return {
        "training": [(data.space.sha, data.train.stimuli.sha, data.train.responses.sha) for data in subjects],
        "seed": seed,
        "device": device.partition(":")[0],
        **({"processes": processes} if processes > 1 else {}),
    }


def _reading_identity(plugin: Configured, subjects: Sequence[SubjectData]) -> dict[str, Any]:
    """What the fit of an encoder that reads texts depends on besides; nothing for any other."""
    names = texts_wanted(plugin.build())
    if not names:
        return {}
    return {
        "texts": [backbone_identity(name) for name in names],
        "written": [data.train.stimuli.written_sha for data in subjects],
    }


def _given(
    ref: PluginRef, features: FeatureStore, layers: Sequence[tuple[str, str]], subjects: Sequence[SubjectData]
) -> PluginFeatures:
    """What the plugin gets as `features`."""
    return PluginFeatures(features.saved(layers, [data.train.stimuli for data in subjects]), ref)


def _fit(
    function: Callable[..., None],
    plugin: Configured,
    ingredients: dict[str, Any],
    subjects: Sequence[SubjectData],
    features: Callable[[], PluginFeatures | None],
    *,
    store: Store,
    executor: Executor,
    seed: int,
    device: str,
) -> Model:
    def arguments() -> tuple[Any, ...]:
        sources = tuple(reference_to(data, executor) for data in subjects)
        return plugin, sources, features(), seed, device, str(store.root)

    item = Item(ingredients, arguments, resumable=True, plugin=plugin.ref.load().__module__)
    (artifact,) = cached_map("fit", [item], function, store=store, executor=executor)
    fit_key = artifact.key if is_known(ingredients) else ""
    where, warned = str(artifact.folder), artifact.warned()
    return fitted_model(plugin.ref, plugin.params, fit_key, where, device=device, warned=warned)


def fitted_model(
    ref: PluginRef, params: Any, fit_key: str, folder: str, *, device: str, warned: tuple[Flag, ...] = ()
) -> Model:
    """What the fit `fit_key` in `folder` is with `params`: one fit may predict in several ways."""
    own = predicting(params)
    key = digest([fit_key, own]) if fit_key and own else fit_key
    return Model(ref, params, key, folder, device, warned, fit_key)
