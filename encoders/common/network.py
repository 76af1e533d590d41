"""An encoder that is a network, up to the network: fit, predict, save and load.

A system says which layers it wants, builds its network, names its stages, and predicts responses of SD 1.
"""

from __future__ import annotations

import json
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.api import DataError, Features, Stimuli, SubjectData, VoxelSpace
from harness.toolkit import load_space, local_device, save_space, seeded, write_curves

from .inputs import Inputs, read, scales_of
from .stages import Batch, Stage, train_stage
from .subjects import SeparateSubjects, SubjectModels, unknown
from .training_data import VoxelScale, fingerprint, training_set, validation_images

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Batch", "FittedSubject", "Model", "NetworkEncoder", "SeparateEncoder", "Stage"]

logger = logging.getLogger(__name__)

BLOCK = 64
"""Images predicted at a time."""


@dataclass(frozen=True, eq=False)
class FittedSubject:
    """A subject of a network, under its number there.

    facts : arrays about the valid voxels that the network is built from, such as regions or coordinates.
    """

    space: VoxelSpace
    scale: VoxelScale
    facts: Mapping[str, np.ndarray]

    @property
    def voxels(self) -> int:
        return self.space.n_valid


@dataclass(eq=False)
class Model:
    """A network, its subjects and the scale of its inputs.  shapes : of one image in every layer."""

    network: nn.Module
    subjects: list[FittedSubject]
    scales: dict[str, tuple[Tensor, Tensor]]
    shapes: dict[str, tuple[int, ...]]


class NetworkEncoder(SubjectModels):
    """One network for all subjects of a fit.  Subclasses give what is abstract here.

    axes : name of a layer -> number of its axes, images included.  scaled : layers to standardise.
    """

    version: ClassVar[str] = "1"
    stochastic: ClassVar[bool] = False
    Params: ClassVar[type]
    name: ClassVar[str]
    axes: ClassVar[Mapping[str, int]] = {}
    scaled: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Any) -> None:
        self.params = params
        self._device = "cpu"
        self.forget()

    def forget(self) -> None:
        """Drop the networks of all subjects."""
        self.models: list[Model] = []
        self.history: dict[str, list[dict[str, float]]] = {}

    @abstractmethod
    def layers(self) -> Mapping[str, tuple[str, str]]:
        """Own name of an input -> (backbone, layer)."""

    @abstractmethod
    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """The network with its first weights, drawn from torch's generator."""

    @abstractmethod
    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """What is trained, one after the other; a stage is asked for when those before it are done."""

    @abstractmethod
    def respond(self, model: Model, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """Standardised responses (n, V) of one sample of `images`; `seeds` (n,) seed every draw."""

    def finish(self, model: Model, number: int, inputs: Inputs, voxels: Tensor, image: np.ndarray) -> None:
        """What is computed of subject `number` once the network is trained, from its (T, V) standardised
        responses to the images (T,) of `inputs`."""

    def facts(self, space: VoxelSpace) -> dict[str, np.ndarray]:
        """Arrays about the valid voxels of `space`."""
        return {}

    def wants(self) -> tuple[tuple[str, str], ...]:
        """The layers, each once."""
        return tuple(dict.fromkeys(self.layers().values()))

    def fit(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """All stages on all `subjects` together; a killed training resumes to the same weights."""
        self.forget()
        self._add(subjects, features, seed=seed, device=device, checkpoint_dir=Path(checkpoint_dir))

    def _add(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
        start: Model | None = None,
    ) -> None:
        """Train a network for `subjects`, from the weights and the scale of inputs of `start` if given."""
        params, self._device = self.params, local_device(device)
        held_out = validation_images(subjects, params.validation, seed=seed)
        layers = [read(self.layers(), self.axes, features, s.train.stimuli) for s in subjects]
        scales = scales_of(layers, self.scaled) if start is None else start.scales
        sets = [training_set(s, train_on=params.train_on, held_out=held_out) for s in subjects]
        fitted = [
            FittedSubject(s.space, data.scale, self.facts(s.space))
            for s, data in zip(subjects, sets, strict=True)
        ]
        shapes = {name: tuple(values.shape[1:]) for name, values in layers[0].items()}
        with seeded(seed, self.name, "first weights"):
            network = self.network(shapes, fitted).to(self._device)
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        numbers = sum(parameter.numel() for parameter in network.parameters())
        logger.info("%s: a network of %d numbers", self.name, numbers)
        inputs = [Inputs(own, scales) for own in layers]
        identity = fingerprint(params, subjects, seed=seed)
        model = Model(network, fitted, scales, shapes)
        for stage in self.stages(network, fitted):
            done = train_stage(
                stage,
                sets,
                inputs,
                section=self.name,
                seed=seed,
                device=self._device,
                checkpoint=checkpoint_dir / f"{stage.name}-{identity[:16]}.safetensors",
                identity=identity,
            )
            self.history[f"{len(self.models)}.{stage.name}"] = done.history
            logger.info("%s %s: %d epochs, best %d", self.name, stage.name, done.epochs, done.best_epoch + 1)
        network.eval().requires_grad_(False)
        for number, (own, data) in enumerate(zip(inputs, sets, strict=True)):
            self.finish(model, number, own, data.voxels, data.image)
        self.models.append(model)

    def predict(
        self, stimuli: Stimuli, features: Features, *, space: VoxelSpace, seeds: np.ndarray
    ) -> np.ndarray:
        """(N, S, V) float32 in the units of `space`; masked voxels are 0."""
        import torch

        model, number = self._find(space)
        scale = model.subjects[number].scale
        inputs = Inputs(read(self.layers(), self.axes, features, stimuli), model.scales)
        out = np.zeros((*seeds.shape, space.n_voxels), np.float32)
        samples = seeds.shape[1] if self.stochastic else 1
        with torch.inference_mode():
            for start in range(0, len(seeds), BLOCK):
                rows = np.arange(start, min(start + BLOCK, len(seeds)))
                images = inputs.rows(rows, self._device)
                for sample in range(samples):
                    responses = self.respond(model, images, number, seeds[rows, sample])
                    restored = scale.restored(responses.float().cpu().numpy())
                    out[rows[:, None], sample, np.flatnonzero(space.valid)] = restored
        out[:, samples:] = out[:, :1]
        return out

    def save(self, folder: Path) -> None:
        """A folder for each network, with one for each of its subjects."""
        import torch
        from safetensors.torch import save_file

        for number, model in enumerate(self.models):
            place = Path(folder) / f"model-{number:03d}"
            place.mkdir(parents=True)
            tensors = {f"network.{name}": value for name, value in model.network.state_dict().items()}
            for name, (mean, sd) in model.scales.items():
                tensors |= {f"mean.{name}": mean, f"sd.{name}": sd}
            save_file(_plain(tensors), place / "weights.safetensors")
            (place / "shapes.json").write_text(json.dumps(model.shapes))
            for k, subject in enumerate(model.subjects):
                own = place / f"subject-{k:03d}"
                own.mkdir()
                save_space(own, subject.space)
                arrays = {"mean": subject.scale.mean, "sd": subject.scale.sd}
                arrays |= {f"facts.{name}": values for name, values in subject.facts.items()}
                save_file(
                    {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()},
                    own / "voxels.safetensors",
                )
        write_curves(Path(folder) / "curves.json", self.history)

    @classmethod
    def load(cls, folder: Path, params: Any, *, device: str) -> NetworkEncoder:
        """Read what :meth:`save` wrote."""
        from safetensors import SafetensorError

        encoder = cls(params)
        encoder._device = local_device(device)
        try:
            encoder.history = json.loads((Path(folder) / "curves.json").read_text())
            for place in sorted(Path(folder).glob("model-*")):
                encoder.models.append(encoder._read(place))
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
            line = str(problem).partition("\n")[0]
            raise DataError(
                f"{folder} holds no {cls.name} encoder of these parameters ({line}); fit it again"
            ) from None
        if not encoder.models:
            raise DataError(f"{folder} holds no {cls.name} encoder; fit it again")
        return encoder

    def _read(self, place: Path) -> Model:
        import torch
        from safetensors.torch import load_file

        shapes = {
            name: tuple(shape) for name, shape in json.loads((place / "shapes.json").read_text()).items()
        }
        tensors = load_file(place / "weights.safetensors")
        subjects = []
        for own in sorted(place.glob("subject-*")):
            arrays = {name: value.numpy() for name, value in load_file(own / "voxels.safetensors").items()}
            facts = {k.removeprefix("facts."): v for k, v in arrays.items() if k.startswith("facts.")}
            subjects.append(FittedSubject(load_space(own), VoxelScale(arrays["mean"], arrays["sd"]), facts))
        with torch.random.fork_rng():  # first weights are overwritten
            network = self.network(shapes, subjects)
        network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
        names = [k.removeprefix("mean.") for k in tensors if k.startswith("mean.")]
        scales = {name: (tensors[f"mean.{name}"], tensors[f"sd.{name}"]) for name in names}
        network.to(self._device).eval().requires_grad_(False)
        return Model(network, subjects, scales, shapes)

    def _find(self, space: VoxelSpace) -> tuple[Model, int]:
        for model in self.models:
            for number, subject in enumerate(model.subjects):
                if subject.space.sha == space.sha:
                    return model, number
        fitted = (subject.space for model in self.models for subject in model.subjects)
        raise unknown(space, fitted, self, name=self.name)


class SeparateEncoder(SeparateSubjects, NetworkEncoder):
    """A network for each subject, that shares nothing with those of others."""

    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Add a network for one more subject; the others stay as they are."""
        self._add([subject], features, seed=seed, device=device, checkpoint_dir=Path(checkpoint_dir))


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
