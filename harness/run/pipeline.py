"""A run: the stages in order, from a plan to scores.

Each stage is a plain function over artifacts in :mod:`harness.stages`; the two branches of a run, and where
they meet, stand in :mod:`.encoding` and :mod:`.decoding`; this module only says which comes after which.
What one hands to another is an argument.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..notices import Flag
from ..progress import Reporter, Silent
from ..rows.controls import control_images, image_sets
from ..rows.row_images import RowImages
from ..rows.table import shuffled_row
from ..scoring.context import Scoring
from ..scoring.contributions import VOXEL_R, Contributions, region_contributions, voxel_r_intervals
from ..scoring.driver import score_all
from ..scoring.response_target import ResponseTarget, response_rows
from ..scoring.scores import Scored
from ..stages.model import Model
from ..storage.executors import side_by_side, single_thread
from ..storage.store import Store
from .context import Context
from .decoding import DecodedRows, FittedDecoder, compute_targets_ahead, decoded_rows, decoder_branch
from .encoding import Encoded, encoder_branch, extract_features
from .flags.thumbnails import look_at
from .outcome import Outcome
from .plan import Plan
from .preparation import Prepared, prepare


@single_thread()
def run_plan(plan: Plan, store: Store, *, reporter: Reporter | None = None) -> Outcome:
    """Carry out every stage of `plan`; what is in `store` is not computed again."""
    context = Context.open(plan, store, reporter=reporter or Silent())
    try:
        return _carried_out(context)
    finally:
        # Whoever interrupts does not want to wait for a worker's shard.
        context.close(wait=not isinstance(sys.exception(), KeyboardInterrupt))


@dataclass(frozen=True)
class Decoded:
    """The data of a run, what its encoder and decoder make of them, and the images of all decoded rows."""

    prepared: Prepared
    encoded: Encoded | None
    decoder: FittedDecoder | None
    rows: DecodedRows


def all_decoded(context: Context) -> Decoded:
    """Everything before images are compared with anything."""
    prepared = prepare(context)
    extract_features(context, prepared)
    compute_targets_ahead(context, prepared)
    # Neither of these two needs the other; they meet where predictions are decoded.
    if context.settings.synthetic_images:  # unless the decoder learns of what the encoder predicts
        encoded = encoder_branch(context, prepared)
        decoder = decoder_branch(context, prepared, encoded)
    else:
        encoded, decoder = side_by_side(
            context.executor,
            partial(encoder_branch, context, prepared),
            partial(decoder_branch, context, prepared),
        )
    return Decoded(prepared, encoded, decoder, decoded_rows(context, prepared, encoded, decoder))


def _carried_out(context: Context) -> Outcome:
    parts = all_decoded(context)
    prepared, encoded, decoder, decoded = parts.prepared, parts.encoded, parts.decoder, parts.rows
    model = None if decoder is None else decoder.model
    sets = finished_sets(context, prepared, decoded)
    scoring = scoring_of(context, prepared, encoded, model, decoded, sets)
    scored = score_all(context.plan.metrics, scoring)
    contributions, voxel_r = contributed(context, scoring, scored)
    copies: Mapping[str, np.ndarray] = {}
    if sets:
        with context.stage("look", len(sets)):
            copies = look_at(sets, prepared.data, **context.place)
    models = [part for part in (encoded, model) if part is not None]
    of_models = (flag for part in models for flag in part.warned)
    return Outcome(
        context.plan,
        prepared.data,
        prepared.subset,
        training=prepared.training if encoded is not None else (),
        sets=sets,
        scored=scored,
        region_contributions=contributions,
        voxel_r=voxel_r,
        wanted=() if encoded is None else encoded.wanted,
        candidates=decoded.candidates,
        blended=decoded.blended,
        predicted=None if encoded is None else encoded.mean(),
        copies=copies,
        warned=tuple(dict.fromkeys((*prepared.warned, *of_models, *in_order(context.store.warned)))),
        keys=({} if encoded is None else dict(encoded.keys))
        | ({} if model is None else {"decoder": model.key}),
        seconds=dict(context.seconds),
    )


def in_order(flags: Iterable[Flag]) -> list[Flag]:
    """Flags in an order that does not depend on which of two branches was the faster one."""
    return sorted(flags, key=lambda flag: (flag.name, flag.message))


def finished_sets(context: Context, prepared: Prepared, decoded: DecodedRows) -> list[RowImages]:
    """Every row's images, controls that need no decoder included, with what they are compared with."""
    if not decoded.images:
        return []
    controls = control_images(prepared.data, decoded.inputs, **context.place)
    return image_sets({**decoded.images, **controls}, prepared.data)


def scoring_of(
    context: Context,
    prepared: Prepared,
    encoded: Encoded | None,
    decoder: Model | None,
    decoded: DecodedRows,
    sets: Sequence[RowImages],
) -> Scoring:
    """What scorers are given."""
    settings = context.settings
    return Scoring(
        prepared.data,
        context.store,
        context.executor,
        context.features,
        sets=sets,
        predicted=None if encoded is None else encoded.predicted,
        cheats=decoded.cheats,
        decoder=decoder,
        decoded=decoded.reconstructions,
        captions=decoded.captions,
        shuffled=shuffled_row,
        derangements=settings.derangements,
        micro_batch=settings.micro_batch,
        device=settings.device,
        stage=context.stage,
    )


def contributed(
    context: Context, scoring: Scoring, scored: Scored
) -> tuple[list[Contributions], dict[str, Sequence[float]]]:
    """What each image contributes to voxel scores by region, and row -> mean voxel r with its interval."""
    labels = {score.metric.label for score in scored.responses}
    if not labels:
        return [], {}
    with context.stage("score responses", 1):
        rows = response_rows(scoring.data, scoring.predicted) | scoring.cheats
        target = ResponseTarget.of(scoring.data)
        kept = region_contributions({*labels, VOXEL_R}, rows, target, scoring.data, **context.place)
        of_metrics = [line for line in kept if line.metric in labels]
        return of_metrics, voxel_r_intervals(kept, rows)
