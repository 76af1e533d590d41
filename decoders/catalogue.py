"""The decoders of this project, by name."""

from __future__ import annotations

from harness.catalogue import plugin

ROWS = (
    plugin("decoders", "brain-diffuser", "harness.decoders.brain_diffuser:BrainDiffuserDecoder"),
    plugin(
        "decoders", "brain-diffuser-transductive", "harness.decoders.brain_diffuser:TransductiveBrainDiffuser"
    ),
    plugin("decoders", "identification", "harness.decoders.identification:IdentificationDecoder"),
    plugin("decoders", "linear", "harness.decoders.linear:LinearDecoder"),
    plugin("decoders", "mindbridge", "harness.decoders.mindbridge:MindBridgeDecoder"),
    plugin("decoders", "mindeye1", "harness.decoders.mindeye1:MindEye1Decoder"),
    plugin("decoders", "mindeye2", "harness.decoders.mindeye2:MindEye2Decoder"),
    plugin("decoders", "miyawaki", "harness.decoders.miyawaki:MiyawakiDecoder"),
    plugin("decoders", "mindhier", "harness.decoders.mindhier:MindHierDecoder"),
    plugin("decoders", "nearest-train", "harness.decoders.nearest_train:NearestTrainDecoder"),
    plugin("decoders", "neuroflow", "harness.decoders.neuroflow:NeuroFlowDecoder"),
    plugin("decoders", "takagi", "harness.decoders.takagi:TakagiDecoder"),
)
