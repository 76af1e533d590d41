"""What the loop does from its first step to its last: steps, validation, checkpoints, curves."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..api import DataError, progress
from .checkpoints import Checkpoint, Progress
from .devices import Processes, half_precision
from .task import Step, Task, TrainingSettings

logger = logging.getLogger(__name__)


class Loop:
    """One call of :func:`.loop.train`."""

    def __init__(
        self, task: Task, settings: TrainingSettings, device: torch.device, processes: Processes
    ) -> None:
        self.task, self.settings, self.device, self.processes = task, settings, device, processes
        self.optimizer = task.optimizer()
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.epochs = math.ceil(settings.steps / task.steps_per_epoch)
        self.batches: Sequence[Any] = ()
        self.random: dict[str, Tensor] = {}

    def run(self, checkpoint: Checkpoint) -> Progress:
        task, settings, module = self.task, self.settings, self.task.module
        state = checkpoint.restore(module, self.optimizer)
        self.processes.start_equal(module)
        if settings.ema and not state.averaged:
            state.averaged = _copied(module)
        began = time.monotonic() - state.seconds
        self._say(state)
        module.train()
        while state.step < settings.steps and not self._stops(state):
            epoch, place = divmod(state.step, task.steps_per_epoch)
            step = Step(state.step, settings.steps, epoch, place)
            if not self.batches:
                self._open_epoch(step, state)
            self._take(step, state)
            ended = place + 1 == task.steps_per_epoch or state.step == settings.steps
            if ended:
                self._close_epoch(step, state)
            every = settings.checkpoint_every
            if state.step == settings.steps or (state.step % every == 0 if every else ended):
                state.seconds = time.monotonic() - began
                self._keep(checkpoint, state, within=not ended)
            if ended or settings.shown == "steps":
                self._say(state)
        module.eval()
        state.seconds = time.monotonic() - began
        if not state.best and any("validation" in record for record in state.history):
            logger.warning("%s: no epoch had a finite validation loss", settings.name)
            state.best = _on_cpu(state.averaged or module.state_dict())
        return state

    def _stops(self, state: Progress) -> bool:
        """Whether an epoch begins that is too many after the best."""
        begins = state.step % self.task.steps_per_epoch == 0
        waited = state.epochs - state.best_epoch
        return bool(self.settings.patience and begins and state.best_epoch >= 0) and (
            waited > self.settings.patience
        )

    def _open_epoch(self, step: Step, state: Progress) -> None:
        """Draw the batches; in the middle of an epoch, then take up the generators where they were."""
        by_step = self.settings.reseeded == "step"
        with self._forked():
            if by_step:
                torch.manual_seed(self.settings.seed_of(f"epoch {step.epoch}"))
            else:
                self._seed(step.epoch)
            self.batches = self.task.batches(step.epoch)
            if len(self.batches) != self.task.steps_per_epoch:
                raise DataError(
                    f"{self.settings.name} has {len(self.batches)} batches in epoch {step.epoch + 1}; "
                    f"expected {self.task.steps_per_epoch}, as in every epoch"
                )
            if by_step:
                return
            self._part_ways(step.epoch)
            start = f"{self.processes.rank}."
            own = {k.removeprefix(start): v for k, v in state.random.items() if k.startswith(start)}
            if own and step.place:
                self._set_random(own)
            self.random = self._get_random()

    def _take(self, step: Step, state: Progress) -> None:
        """One optimiser step."""
        settings, world = self.settings, self.processes.world
        for group in self.optimizer.param_groups:
            group.update(self.task.schedule(step.number))
        batch = self.batches[step.place]
        if world > 1:
            batch = self.task.part(batch, rank=self.processes.rank, world=world)
        half = settings.precision == "bfloat16"
        with self._forked():
            if settings.reseeded == "step":
                self._seed(step.number)
                self._part_ways(step.number)
            else:
                self._set_random(self.random)
            with half_precision(self.device, enabled=half):
                losses = self.task.loss(batch, step)
            value = self.processes.mean(float(losses.total.detach()))
            if not math.isfinite(value):
                raise DataError(
                    f"{settings.name}: the loss is not finite at step {step.number}; {settings.remedy}"
                )
            self.optimizer.zero_grad(set_to_none=True)
            losses.total.backward()
            if settings.reseeded == "epoch":
                self.random = self._get_random()
        self.processes.average(self.trained)
        if settings.clip:
            nn.utils.clip_grad_norm_(self.trained, settings.clip)
        self.optimizer.step()
        if settings.ema:
            _average(state.averaged, self.task.module, settings.ema)
        state.step += 1
        state.losses.append(value)
        terms = {name: self.processes.mean(float(term.detach())) for name, term in losses.terms.items()}
        for name, mean in (terms | {"loss": value}).items():
            state.sums[name] = state.sums.get(name, 0.0) + mean

    def _close_epoch(self, step: Step, state: Progress) -> None:
        """Means of the epoch, validation, best weights."""
        module = self.task.module
        record = {"epoch": step.epoch + 1, "lr": float(self.optimizer.param_groups[0]["lr"])}
        record |= {name: total / (step.place + 1) for name, total in state.sums.items()}
        module.eval()
        with torch.no_grad(), _weights(module, state.averaged):
            value = self.task.validate()
        module.train()
        if value is not None:
            record["validation"] = value = float(value)
            if value < state.best_value:
                state.best_epoch, state.best_value = step.epoch, value
                state.best = _on_cpu(state.averaged or module.state_dict())
        state.history.append(record)
        state.sums, self.batches = {}, ()
        logger.debug("%s epoch %d of %d: %s", self.settings.name, step.epoch + 1, self.epochs, record)

    def _keep(self, checkpoint: Checkpoint, state: Progress, *, within: bool) -> None:
        state.random = {}
        if within and self.settings.reseeded == "epoch":
            for rank, random in enumerate(self.processes.gathered(self.random)):
                state.random |= {f"{rank}.{name}": value for name, value in random.items()}
        if self.processes.rank == 0:
            checkpoint.save(state, self.task.module, self.optimizer)

    def _say(self, state: Progress) -> None:
        if self.processes.rank == 0:
            shown, steps = self.settings.shown, self.settings.shown == "steps"
            done, total = (state.step, self.settings.steps) if steps else (state.epochs, self.epochs)
            progress(f"{self.settings.name}, {shown}", done, total)

    def _seed(self, count: int) -> None:
        own = self.task.seed(count)
        torch.manual_seed(self.settings.seed_of(count) if own is None else own)

    def _part_ways(self, count: int) -> None:
        """Give every process but the first draws of its own."""
        if self.processes.rank:
            own = self.task.seed(count)
            seed = self.settings.seed_of(count) if own is None else own
            torch.manual_seed((seed + 0x9E3779B97F4A7C15 * self.processes.rank) % 2**63)

    @contextmanager
    def _forked(self) -> Iterator[None]:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            yield

    def _get_random(self) -> dict[str, Tensor]:
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def _set_random(self, state: dict[str, Tensor]) -> None:
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@torch.no_grad()
def _average(averaged: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    """Move `averaged` towards the weights of `module`; what is no floating point is copied."""
    for name, value in module.state_dict().items():
        held = averaged[name] = averaged[name].to(value.device)
        if value.is_floating_point():
            held.lerp_(value, 1 - decay)
        else:
            held.copy_(value)


@contextmanager
def _weights(module: nn.Module, averaged: dict[str, Tensor]) -> Iterator[None]:
    """`module` with the weights `averaged`, where there are any, and its own again afterwards."""
    if not averaged:
        yield
        return
    own = _copied(module)
    module.load_state_dict(averaged)
    try:
        yield
    finally:
        module.load_state_dict(own)
