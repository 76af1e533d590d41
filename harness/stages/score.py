"""Stage score: per-image values of every metric, row and target.

Pixel metrics stream over blocks of ids: within a block each image is prepared once, whatever the
number of rows and targets.  Embedding metrics see whole sets, since identification depends on all
of them.  A metric that raises is recorded and costs nothing but its own values.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import plugins
from ..data import Stimuli
from ..executors import Executor
from ..identity import code_sha, digest, module_sha
from ..metrics.lookalikes import kinds
from ..plugins import PluginRef
from ..seeds import cyclic_order
from ..store import Store, save_array
from .captions import caption_features
from .devices import place, placed
from .features import FeatureStore, backbone_identity
from .worker import store_at

logger = logging.getLogger(__name__)

BLOCK = 32
"""Images per scoring task; part of no result, since images are scored one by one."""


@dataclass(frozen=True)
class ImageSet:
    """Finished images of one row, trial and sample, and what they are compared with.

    All have the same ids in the same order.

    measured : the reconstructions from measured responses to compare with, None for a row without any.
    redrawn : the same with other noise of the decoder, where it draws any, else `measured`.
    rendered : what the decoder's generator makes of the true stimuli, where it can.
    against_stimuli : False for images that another row has already, here for another measured target.
    """

    row: str
    trial: int
    sample: int
    images: Stimuli
    stimuli: Stimuli
    measured: Stimuli | None
    redrawn: Stimuli | None = None
    rendered: Stimuli | None = None
    against_stimuli: bool = True

    def target(self, name: str, *, independent: bool = False) -> Stimuli | None:
        """What `name` stands for; `independent` of the noise that the row was drawn with."""
        if name == "stimulus":
            return self.stimuli if self.against_stimuli else None
        return self.redrawn if independent else self.measured

    def all(self) -> list[Stimuli]:
        """Every set of images here, for those who look at them all."""
        found = (self.images, self.stimuli, self.measured, self.redrawn, self.rendered)
        return [stimuli for stimuli in found if stimuli is not None]


@dataclass(frozen=True)
class Score:
    """(N,) values of one metric for one set and target; NaN where it could not be scored.

    rivalry : (N,) what each image does to the values of the others as their rival, where the metric
        knows (``Metric.rivalry``).
    """

    metric: MetricRef
    images: ImageSet
    target: str
    values: np.ndarray
    rivalry: np.ndarray | None = None

    @classmethod
    def of(cls, metric: MetricRef, images: ImageSet, target: str, found: np.ndarray) -> Score:
        """A score from values (N,), or from values and rivalry (2, N)."""
        return cls(metric, images, target, *(found if found.ndim == 2 else (found,)))


@dataclass(frozen=True)
class MetricRef:
    """A loaded metric and its identity.  Picklable: workers load it again by reference."""

    ref: PluginRef
    identity: dict[str, Any]

    @property
    def label(self) -> str:
        """``name@version``."""
        return f"{self.ref.name}@{self.identity['version']}"

    def load(self) -> Any:
        return self.ref.load()()


@dataclass(frozen=True)
class Failure:
    """A metric that raised, and what to type to score it again."""

    metric: str
    error: str


def metric_ref(name: str) -> MetricRef:
    """The installed metric called `name`."""
    ref = plugins.find("metrics", name)
    plugin = ref.load()
    identity = {"metric": ref.name, "version": plugin.version, "code": code_sha(ref)}
    return MetricRef(ref, identity)


@dataclass(frozen=True)
class BlockTask:
    """A block of ids and everything one pixel metric compares in it.

    sets : name -> (n, H, W, 3); pairs : (result, target) names; shifts > 0 : the shuffled control,
    whose results are that many images longer than its targets.  device : of the run.
    """

    root: str
    key: str
    ingredients: dict[str, Any]
    metric: MetricRef
    sets: dict[str, np.ndarray]
    pairs: tuple[tuple[str, str], ...]
    shifts: int = 0
    device: str = "cpu"


def score_pixels(
    metric: MetricRef,
    sets: Sequence[ImageSet],
    *,
    store: Store,
    executor: Executor,
    derangements: int,
    shuffled: Callable[[str], str | None],
    device: str = "cpu",
    progress: Callable[[int], None] = lambda images: None,
) -> list[Score]:
    """Scores of an ``images`` metric for all sets, and for the shuffled control of those that have one."""
    plugin = metric.load()
    common = (store, executor, device, progress)
    wanted = [(s, t) for s in sets for t in plugin.targets if s.target(t) is not None]
    scores: list[Score] = []
    for ids in dict.fromkeys(s.images.ids for s, _ in wanted):
        group = [(s, t) for s, t in wanted if s.images.ids == ids]
        values = _run_blocks(metric, list(_blocks(group, ids)), *common)  # (pairs, N)
        scores += [Score(metric, s, t, values[k]) for k, (s, t) in enumerate(group)]
    for images in sets:
        name = shuffled(images.row)
        if name is None or images.trial >= 0 or "stimulus" not in plugin.targets:
            continue
        control = ImageSet(name, -1, images.sample, images.images, images.stimuli, None)
        shifts = min(derangements, len(images.images) - 1)
        if shifts < 1:
            scores.append(Score(metric, control, "stimulus", np.full(len(images.images), np.nan)))
            continue
        blocks = list(_shuffled_blocks(images, shifts))
        values = _run_blocks(metric, blocks, *common)[0]
        back = np.empty_like(values)
        back[cyclic_order(images.images.ids)] = values
        scores.append(Score(metric, control, "stimulus", back))
    return scores


def score_block(task: BlockTask) -> None:
    """Score one block and keep it: (pairs, n) float64."""
    store = store_at(task.root)
    if store.open("score", task.key) is not None:
        return
    plugin = placed(task.metric.load(), task.device)
    prepared = {name: plugin.prepare(images) for name, images in task.sets.items()}
    values = []
    for result, target in task.pairs:
        if not task.shifts:
            values.append(plugin.score(prepared[result], prepared[target]))
            continue
        n = len(task.sets[target])
        paired = []
        for shift in range(1, task.shifts + 1):
            moved = {name: array[shift : shift + n] for name, array in prepared[result].items()}
            paired.append(plugin.score(moved, prepared[target]))
        values.append(nanmean(np.stack(paired)))
    with store.writing("score", task.key, task.ingredients) as folder:
        save_array(folder, "values", np.asarray(values, np.float64))


def score_embeddings(
    metric: MetricRef,
    sets: Sequence[ImageSet],
    *,
    features: FeatureStore,
    store: Store,
    derangements: int,
    shuffled: Callable[[str], str | None],
    device: str = "cpu",
) -> list[Score]:
    """Scores of an ``embedding`` metric; its backbone's features must have been extracted.

    NaN for all where the metric wants labels that the stimuli lack (:func:`lacking_labels`).
    """
    plugin = placed(metric.load(), device)
    common = (plugin.backbone, features, store, place(plugin, device))
    scores = []
    for images in sets:
        for target in plugin.targets:
            other = images.target(target, independent=_independent(plugin))
            if other is None:
                continue
            values = _embedding_values(metric, plugin, images, other, *common, ())
            scores.append(Score.of(metric, images, target, values))
        name = shuffled(images.row)
        if name is None or images.trial >= 0 or "stimulus" not in plugin.targets:
            continue
        control = ImageSet(name, -1, images.sample, images.images, images.stimuli, None)
        orders = derangements_of(images.images.ids, derangements)
        values = np.full(len(images.images), np.nan)
        if len(orders):
            values = _embedding_values(metric, plugin, images, images.stimuli, *common, orders)
        scores.append(Score.of(metric, control, "stimulus", values))
    return scores


def _independent(plugin: Any) -> bool:
    return bool(getattr(plugin, "independent", False))


def lacking_labels(metric: MetricRef, stimuli: Stimuli) -> str:
    """Why a metric of look-alikes or captions cannot score any of `stimuli`, or ``""``."""
    if getattr(metric.load(), "captions", False) and stimuli.captions is None:
        return "the stimuli have no captions"
    names = tuple(getattr(metric.load(), "kind", ()))
    if not names:
        return ""
    kind = kinds(stimuli.labels, names)
    if kind is None:
        missing = " and ".join(name for name in names if name not in stimuli.labels)
        return f"the stimuli have no label {missing}, which says what two look-alikes share"
    if len(np.unique(kind)) == len(kind):
        return f"no two of the {len(kind)} test images share {' and '.join(names)}"
    return ""


def lacking_images(metric: MetricRef, count: int) -> str:
    """Why `count` test images are too few for `metric`, or ``""``."""
    needed = getattr(metric.load(), "smallest_pool", 1)
    return "" if count >= needed else f"it needs {needed} test images and there are {count}"


def unscored(values: Iterable[np.ndarray]) -> str:
    """Why a metric with `values`, one array per row, is not shown: none is a number; else ``""``."""
    values = list(values)
    if not values or any(np.isfinite(of_row).any() for of_row in values):
        return ""
    return "it gave no value for any row"


def derangements_of(ids: Sequence[str], count: int) -> np.ndarray:
    """(K, N) re-pairings without a fixed point: image i of permutation k stands at stimulus [k, i].

    All images in one pseudo-random circle, turned by 1 .. K places: each image meets K different
    stimuli and a pool of any size is streamed with a window of K.
    """
    order = cyclic_order(ids)
    n = len(order)
    turned = np.empty((min(count, n - 1), n), np.int64)
    for k in range(len(turned)):
        turned[k, order] = np.roll(order, -(k + 1))
    return turned


def _embedding_values(
    metric: MetricRef,
    plugin: Any,
    images: ImageSet,
    target: Stimuli,
    layer: tuple[str, str],
    features: FeatureStore,
    store: Store,
    device: str,
    orders: np.ndarray | tuple[()],
) -> np.ndarray:
    """(N,) values, or (2, N) values and rivalry."""
    names = tuple(getattr(plugin, "kind", ()))
    kind = kinds(images.stimuli.labels, names) if names else None
    captions = images.stimuli.captions if getattr(plugin, "captions", False) else ()
    if captions is None or (names and kind is None):
        return np.full(len(images.images), np.nan)
    ingredients = {
        **metric.identity,
        "backbone": backbone_identity(layer[0]),
        "layer": layer[1],
        "result": images.images.sha,
        "target": target.sha,
        "control": images.stimuli.sha if plugin.controlled else "none",
        "rendered": images.rendered.sha if _independent(plugin) and images.rendered else "none",
        "kind": "none" if kind is None else kind,
        "captions": list(captions),
        "derangements": len(orders),
        "device": device,
        "stage": module_sha(__name__),
    }

    def flat(stimuli: Stimuli) -> np.ndarray:
        found = features.layer(*layer, stimuli)
        return found.reshape(len(found), -1)

    def make(folder: Path) -> None:
        result, other = flat(images.images), flat(target)
        more = {"stimulus": flat(images.stimuli)} if plugin.controlled else {}
        more |= {"rendered": flat(images.rendered)} if _independent(plugin) and images.rendered else {}
        # The targets stay in place when results are re-paired, and so do their kinds.
        more |= {} if kind is None else {"kind": kind}
        more |= {"captions": caption_features(layer[0], captions, store=store)} if captions else {}
        more |= {"rivalry": True} if getattr(plugin, "rivalry", False) else {}
        if not len(orders):
            values = plugin.score(result, other, **more)
        elif hasattr(plugin, "score_deranged"):
            values = plugin.score_deranged(result, other, orders, **more)
        else:
            values = nanmean(np.stack([plugin.score(result[order], other, **more) for order in orders]))
        save_array(folder, "values", np.asarray(values, np.float64))

    return np.array(store.get("score", ingredients, make).array("values"))


@dataclass(frozen=True)
class _Block:
    """Images that one task reads: source name -> (image set, ids)."""

    ingredients: dict[str, Any]
    sources: dict[str, tuple[Stimuli, tuple[str, ...]]]
    pairs: tuple[tuple[str, str], ...]
    shifts: int = 0

    def read(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(stimuli.images(ids)) for name, (stimuli, ids) in self.sources.items()}


def _blocks(group: Sequence[tuple[ImageSet, str]], ids: tuple[str, ...]) -> Iterator[_Block]:
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK]
        sources: dict[str, tuple[Stimuli, tuple[str, ...]]] = {}
        pairs = []
        for images, target in group:
            names = []
            for stimuli in (images.images, images.target(target)):
                names.append(digest(stimuli.select(part).image_hashes()))
                sources[names[-1]] = (stimuli, part)  # equal content, equal name: prepared once
            pairs.append((names[0], names[1]))
        yield _Block({"pairs": pairs}, sources, tuple(pairs))


def _shuffled_blocks(images: ImageSet, shifts: int) -> Iterator[_Block]:
    circle = [images.images.ids[k] for k in cyclic_order(images.images.ids)]
    for start in range(0, len(circle), BLOCK):
        targets = tuple(circle[start : start + BLOCK])
        # In a short circle an image may occur twice in the window.
        results = tuple(circle[(start + k) % len(circle)] for k in range(len(targets) + shifts))
        hashes = images.images.image_hashes()
        ingredients = {
            "results": [hashes[k] for k in images.images.positions(results)],
            "targets": images.stimuli.select(targets).image_hashes(),
            "shifts": shifts,
        }
        sources = {"result": (images.images, results), "target": (images.stimuli, targets)}
        yield _Block(ingredients, sources, (("result", "target"),), shifts)


def _run_blocks(
    metric: MetricRef,
    blocks: Sequence[_Block],
    store: Store,
    executor: Executor,
    device: str,
    progress: Callable[[int], None],
) -> np.ndarray:
    """(pairs, N) values of all blocks, computing those that are missing."""
    same = {**metric.identity, "stage": module_sha(__name__), "device": place(metric.load(), device)}
    ingredients = [{**same, **block.ingredients} for block in blocks]
    keys = [store.key("score", one) for one in ingredients]

    def tasks() -> Iterator[BlockTask]:
        for key, one, block in zip(keys, ingredients, blocks, strict=True):
            if store.open("score", key) is not None:
                store.reused["score"] += 1
                progress(BLOCK)
            else:
                what = (block.read(), block.pairs, block.shifts, device)
                yield BlockTask(str(store.root), key, one, metric, *what)

    for _ in executor.map(score_block, tasks()):
        store.computed["score"] += 1
        progress(BLOCK)
    return np.concatenate([store.open("score", key).array("values") for key in keys], axis=1)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over axis 0 of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))
