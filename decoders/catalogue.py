"""The decoders of this project, by name."""

from __future__ import annotations

from harness.catalogue import plugin

ROWS = (
    plugin("decoders", "identification", "harness.decoders.identification:IdentificationDecoder"),
    plugin("decoders", "linear", "harness.decoders.linear:LinearDecoder"),
    plugin("decoders", "mindeye2", "harness.decoders.mindeye2:MindEye2Decoder"),
    plugin("decoders", "miyawaki", "harness.decoders.miyawaki:MiyawakiDecoder"),
    plugin("decoders", "nearest-train", "harness.decoders.nearest_train:NearestTrainDecoder"),
)
