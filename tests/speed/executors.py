"""What executors cost and give: seconds per cell beyond the work itself, and two workers against one.

    python tests/speed/executors.py [--cells 200] [--images 64] [--repeats 3] [--decode]

A cell is an artifact of a few bytes, computed and kept as a run's are; each executor does the same cells
after the first ones, which start its workers.  SLURM and Ray are those of this machine
(tests/helpers/clusters.py), left out where they are not installed.  With ``--decode`` the tiny MindEye2
decodes every row of the embedded images that needs no encoder, by one worker process and by two in turn, one
thread each.  Both have started and loaded it before, whose seconds are printed apart; the best pass of each
counts, and all must give equal images.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "helpers")]

import pytest  # noqa: E402
from clusters import one_node_slurm, two_node_ray  # noqa: E402
from commands import HELPERS  # noqa: E402
from local_workers import written  # noqa: E402

from harness.progress import Silent  # noqa: E402
from harness.rows.table import Stream  # noqa: E402
from harness.run.context import Context  # noqa: E402
from harness.run.decoding import row_streams  # noqa: E402
from harness.run.plan import make_plan  # noqa: E402
from harness.run.preparation import prepare  # noqa: E402
from harness.settings import read_request  # noqa: E402
from harness.stages import decode as stages  # noqa: E402
from harness.stages.fit import fit_decoder  # noqa: E402
from harness.storage.cached import Item, cached_map  # noqa: E402
from harness.storage.executors import Executor, single_thread  # noqa: E402
from harness.storage.opening import open_executor  # noqa: E402
from harness.storage.store import Store  # noqa: E402

GOAL = 1.8


def cells(name: str, count: int, place: Path, workers: int) -> None:
    """Print the seconds until the first cell is there, and those per cell of `count` others."""
    executor = open_executor(name, workers=workers, device="cpu", root=place, run="cells")
    store = Store(place)
    try:
        started = time.perf_counter()
        for numbers in (range(workers), range(workers, workers + count)):
            items = [Item({"number": number}, (number,)) for number in numbers]
            cached_map("cells", items, written, store=store, executor=executor)
            took, started = time.perf_counter() - started, time.perf_counter()
            if len(numbers) == workers:
                start = took
        each = 1000 * took / count
        print(f"{name:10} {workers} workers: {start:5.1f} s to start, {each:6.1f} ms per cell", flush=True)
    finally:
        executor.close()


def decode(images: int, repeats: int) -> None:
    """Print the ratio of the stage decode, one worker to two that have the decoder open."""
    words = [
        "benchmark.n_train=128",
        f"benchmark.n_test={images}",
        "decoder.epochs=3",
        "run.metrics=[pixcorr]",
    ]
    named = {"benchmark": "embedded", "encoder": None, "decoder": "mindeye2", "subject": None}
    plan = make_plan(read_request(None, words, plugins=named))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Path(name)
        context = Context.open(plan, Store(place / "fit"), reporter=Silent())
        with single_thread():
            prepared = prepare(context)
            model = fit_decoder(
                plan.decoder,
                plan.decoder_params,
                prepared.data,
                features=context.features,
                **context.place,
                seed=plan.settings.seed,
                device="cpu",
            )
            streams = row_streams(context, prepared.data, {})
        count = sum(len(stream.responses.ids) for stream in streams)
        sizes = {name: getattr(plan.settings, name) for name in ("micro_batch", "shard_size")}
        hashes: list[list[str]] = []

        def timed(executor: Executor, rows: list[Stream], **how: int) -> tuple[float, float]:
            """Seconds that `rows` take, and those that this process computed meanwhile."""
            store = Store(Path(tempfile.mkdtemp(dir=place)))
            started, own = time.perf_counter(), time.process_time()
            given = {"space": prepared.data.space, "store": store, "executor": executor}
            decoded = stages.decode(model, rows, **given, **sizes | how)
            took = time.perf_counter() - started, time.process_time() - own
            hashes.append([str(batch.json("hashes")) for of_row in decoded for batch in of_row.batches])
            return took

        executors, passes = {}, {1: [], 2: []}
        for workers in passes:
            executors[workers] = open_executor("processes", workers=workers, device="cpu")
            stack.callback(executors[workers].close)
            start, _ = timed(executors[workers], streams[:1], shard_size=1)
            print(f"{workers} workers: {start:.1f} s to start, load and decode {images}", flush=True)
        hashes.clear()
        for _ in range(repeats):
            for workers, of_workers in passes.items():
                of_workers.append(timed(executors[workers], streams))
                seconds, own = of_workers[-1]
                print(f"{workers} workers: {seconds:.2f} s, {own:.2f} s of CPU in the parent", flush=True)
        assert all(of_pass == hashes[0] for of_pass in hashes), "the images differ"
        slow, fast = (min(seconds for seconds, _ in passes[workers]) for workers in (1, 2))
        print(
            f"decode of {count} images: {slow:.1f} s with 1 worker, {fast:.1f} s with 2: {slow / fast:.2f}x"
        )
        if slow / fast < GOAL:
            print(f"below the goal of {GOAL}x; {os.getloadavg()[0]:.1f} processes wanted a core meanwhile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--decode", action="store_true")
    given = parser.parse_args()
    if given.decode:
        decode(given.images, given.repeats)
        return
    os.environ["PYTHONPATH"] = str(HELPERS)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for executor in ("inline", "processes", "slurm", "ray"):
            try:
                if executor == "slurm":
                    os.environ |= stack.enter_context(one_node_slurm()).environment
                if executor == "ray":
                    os.environ["RAY_ADDRESS"] = stack.enter_context(two_node_ray()).address
            except pytest.skip.Exception as problem:
                print(f"{executor} is left out: {problem}")
                continue
            cells(executor, given.cells, Path(name) / executor, 1 if executor == "inline" else 2)


if __name__ == "__main__":
    main()
