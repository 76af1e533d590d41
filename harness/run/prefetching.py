"""Before a run that will have no network: its plan, with every weight that it asks for, and its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..backbones.weights import noting_names
from ..errors import WeightsMissing
from ..progress import Reporter
from ..settings import Request
from ..stages.features import backbone_identity
from ..storage.executors import single_thread
from ..storage.store import Store
from .context import Context
from .plan import Plan, make_plan
from .preparation import Prepared, prepare


def plan_with_weights(request: Request, fetch: Callable[[Sequence[str]], None]) -> Plan:
    """The plan of `request` on a machine that has all its weights, and so with every default metric.

    fetch : called with the names of weights that the plan asks for, perhaps several times, since those of one
        part can be asked for only once those of another are here.

    Raises
    ------
    WeightsMissing
        What `fetch` raises; or a file that is no part of ``harness prefetch`` is not here.
    """
    backbone_identity.cache_clear()  # what it remembers, it does not ask for
    fetched: set[str] = set()
    while True:
        problem: WeightsMissing | None = None
        with noting_names() as asked:
            try:
                plan = make_plan(request)
            except WeightsMissing as missing:
                problem = missing
        new = [name for name in asked if name not in fetched]
        if new:
            fetch(new)
            fetched.update(new)
        elif problem is not None:
            raise problem
        else:
            return plan


@single_thread()
def read_data(plan: Plan, store: Store, *, reporter: Reporter) -> Prepared:
    """Every subject that `plan` reads: loaded, checked, and every image of it read and hashed.

    What a benchmark generates is kept in `store`.
    """
    context = Context.open(
        replace(plan, settings=replace(plan.settings, executor="inline", workers=1)), store, reporter=reporter
    )
    try:
        prepared = prepare(context)
        splits = (prepared.data.train, prepared.data.test, *(subject.train for subject in prepared.training))
        sets = {id(split.stimuli): split.stimuli for split in splits}
        with context.stage("hash images", sum(map(len, sets.values()))) as advance:
            for stimuli in sets.values():
                stimuli.image_hashes()
                advance(len(stimuli))
    finally:
        context.close(wait=True)
    return prepared
