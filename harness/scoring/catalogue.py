"""The scorers, by the kind of input that they score."""

from __future__ import annotations

from ..catalogue import plugin

ROWS = (
    plugin("scorers", "images", "harness.scoring.images:ImagesScorer"),
    plugin("scorers", "embedding", "harness.scoring.embedding:EmbeddingScorer"),
    plugin("scorers", "training", "harness.scoring.training:TrainingScorer"),
    plugin("scorers", "decoder-embedding", "harness.scoring.decoder_space:DecoderSpaceScorer"),
    plugin("scorers", "reencoded", "harness.scoring.reencoded:ReencodedScorer"),
    plugin("scorers", "captions", "harness.scoring.captions:CaptionsScorer"),
    plugin("scorers", "responses", "harness.scoring.responses:ResponsesScorer"),
)
