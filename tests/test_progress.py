"""Progress inside fits: heard where someone listens, silent elsewhere, never part of a number."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from commands import TOYS
from rich.console import Console

from harness.api import progress, track
from harness.cli.progress import Bars
from harness.progress import Lines, Silent, duration, listening
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.solvers.image_components import ImageComponents
from harness.solvers.ridge import fit_ridge
from harness.storage.opening import open_executor
from harness.storage.store import Store


class Clock:
    """Seconds that pass only when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Recorder(Silent):
    """A reporter that keeps (stage, what, done, total)."""

    def __init__(self, stage: str = "", heard: list | None = None) -> None:
        self.stage, self.heard = stage, [] if heard is None else heard

    def start(self, stage, total):
        return Recorder(stage, self.heard)

    def within(self, what, done, total):
        self.heard.append((self.stage, what, done, total))


def heard_of(call) -> list[tuple[str, int, int]]:
    heard = []
    with listening(lambda *report: heard.append(report)):
        call()
    return heard


def tracked(number: int) -> list[int]:
    """A task for executors."""
    return list(track(range(number), "steps"))


def test_track_yields_all_and_says_what_is_finished():
    assert tracked(3) == [0, 1, 2]
    assert heard_of(lambda: tracked(3)) == [("steps", k, 3) for k in range(4)]
    assert heard_of(lambda: list(track("ab", "rest", done=2))) == [("rest", k, 4) for k in (2, 3, 4)]
    assert heard_of(lambda: list(track([], "nothing"))) == [("nothing", 0, 0)]


def test_only_the_innermost_listener_hears_and_only_inside():
    outer, inner = [], []
    with listening(lambda *report: outer.append(report)):
        with listening(lambda *report: inner.append(report)):
            progress("a", 1, 2)
        progress("b", 1, 2)
    progress("c", 1, 2)
    assert (outer, inner) == ([("b", 1, 2)], [("a", 1, 2)])


@pytest.mark.parametrize("name", ["inline", "processes"])
def test_executors_run_what_reports_progress(name):
    executor = open_executor(name, workers=1, device="cpu")
    try:
        assert list(executor.map(tracked, [4])) == [[0, 1, 2, 3]]
    finally:
        executor.close()


def test_a_thread_without_a_listener_is_silent():
    heard = []
    with listening(lambda *report: heard.append(report)), ThreadPoolExecutor(1) as pool:
        assert pool.submit(tracked, 2).result() == [0, 1]
    assert not heard


@pytest.mark.parametrize("solver", ["primal", "dual"])
def test_ridge_says_how_far_it_is_and_fits_the_same(solver):
    rng = np.random.default_rng(0)
    features, targets = rng.standard_normal((40, 6)), rng.standard_normal((40, 3))
    ids = [f"image-{k}" for k in range(40)]

    def fit():
        return fit_ridge(features, targets, ids=ids, folds=4, solver=solver)

    alone, models = fit(), []
    heard = heard_of(lambda: models.append(fit()))
    assert {what.split(",")[0] for what, _, _ in heard} == {"cross-validation", "last fit"}
    assert [(done, total) for what, done, total in heard if "last" not in what][:5] == [
        (k, 4) for k in range(5)
    ]
    for name in ("weights", "penalties", "cv_r2"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(models[0], name))


@pytest.mark.parametrize("side", [2, 8])
def test_image_components_say_how_far_they_are(side):
    images = np.random.default_rng(0).integers(0, 256, (20, side, side, 3), dtype=np.uint8)
    heard = heard_of(lambda: ImageComponents.fit(images, components=3))
    assert heard
    assert heard[-1][1] == heard[-1][2]


def test_chasms_training_says_its_epochs_and_those_before_a_kill(tmp_path):
    import torch

    from harness.encoders.chasm.training import Problem, Schedule, fit

    def training(tell=lambda done: None):
        module = torch.nn.Linear(2, 1)
        problem = Problem([np.arange(4)], lambda *_: {"loss": module.weight.square().sum()}, lambda: 0.0)
        schedule = Schedule(4, 2, 0.1, 0.01, 0, 0.0, 1.0, 100)
        heard = []

        def hear(what, done, total):
            heard.append((what, done, total))
            tell(done)

        file = tmp_path / "stage1.safetensors"
        with suppress(KeyboardInterrupt), listening(hear):
            fit(module, problem, schedule, seed=0, device="cpu", checkpoint=file, fingerprint="same")
        return heard

    def interrupt(done):
        if done == 2:
            raise KeyboardInterrupt

    assert training(interrupt) == [("stage1, epochs", k, 4) for k in range(3)]
    assert training() == [("stage1, epochs", k, 4) for k in (2, 3, 4)]


def test_a_plugins_progress_reaches_the_reporter_of_the_run(tmp_path: Path):
    plugin = tmp_path / "slow.py"
    plugin.write_text(
        TOYS.read_text() + "\n\nfrom harness.api import track\n\n\n"
        "class Slow(ToyEncoder):\n"
        "    def fit(self, *words, **named):\n"
        "        for _ in track(range(3), 'thinking'):\n"
        "            pass\n"
        "        super().fit(*words, **named)\n"
    )
    request = Request(
        benchmark=f"{TOYS}:ToyBenchmark", encoder=f"{plugin}:Slow", values={"run": {"metrics": ["voxel-r"]}}
    )
    recorder = Recorder()
    run_plan(make_plan(request, need_decoder=False), Store(tmp_path / "store"), reporter=recorder)
    steps = [(stage, done, total) for stage, what, done, total in recorder.heard if what == "thinking"]
    assert steps == [("fit encoder", k, 3) for k in range(4)]


def test_lines_come_seldom_with_an_estimate():
    clock, lines = Clock(), []
    listener = Lines(lines.append, every=30, clock=clock)
    for done in range(101):
        listener("epochs", done, 100)
        clock.now += 4
    assert lines[0] == "epochs: 8 of 100 (8%), 32 s so far, about 6 min 8 s left"
    assert len(lines) == 100 // 8


def test_an_estimate_counts_only_what_was_done_while_listening():
    clock, lines = Clock(), []
    listener = Lines(lines.append, clock=clock)
    listener("epochs", 90, 100)  # a fit that goes on
    clock.now = 50.0
    listener("epochs", 95, 100)
    assert lines == ["epochs: 95 of 100 (95%), 50 s so far, about 50 s left"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_log_file_gets_plain_lines():
    clock, out = Clock(), io.StringIO()
    bars = Bars(Console(file=out, width=80), every=30, clock=clock)
    stage = bars.start("fit encoder", 1)
    for done in range(4):
        stage.within("stage 1, [epochs]", done, 3)
        clock.now += 20
    stage.advance(1)
    stage.finish()
    with bars.stage("draw report"):
        clock.now += 2
    assert out.getvalue().splitlines() == [
        "fit encoder: stage 1, [epochs]: 2 of 3 (67%), 40 s so far, about 20 s left",
        "fit encoder: 80.0 s",
        "draw report: 2.0 s",
    ]


def test_a_terminal_gets_a_bar_for_the_part():
    out = io.StringIO()
    bars = Bars(Console(file=out, width=100, force_terminal=True, color_system=None))
    stage = bars.start("fit decoder", 1)
    for what in ("targets", "steps"):
        for done in range(3):
            stage.within(what, done, 2)
    stage.finish()
    assert "fit decoder" in out.getvalue()
    assert "steps" in out.getvalue()


def test_the_time_after_the_last_stage_says_what_it_is_for(harness, toy_words):
    done = harness("run", *toy_words)
    stages = [line.partition(":")[0] for line in done.stderr.splitlines() if line.endswith(" s")]
    assert stages[-2:] == ["write tables", "draw report"]
