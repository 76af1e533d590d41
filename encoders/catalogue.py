"""The encoders of this project, by name."""

from __future__ import annotations

from harness.catalogue import plugin

_HERE = "harness.encoders"

ROWS = (
    plugin("encoders", "banded", f"{_HERE}.banded:BandedEncoder"),
    plugin("encoders", "berg", f"{_HERE}.pretrained:BergEncoder"),
    plugin("encoders", "brain-transformer", f"{_HERE}.brain_transformer:BrainTransformerEncoder"),
    plugin("encoders", "braincorl", f"{_HERE}.braincorl:BraincorlEncoder"),
    plugin("encoders", "chasm", f"{_HERE}.chasm:ChasmEncoder"),
    plugin("encoders", "factorised", f"{_HERE}.factorised:FactorisedEncoder"),
    plugin("encoders", "fwrf", f"{_HERE}.fwrf:FwrfEncoder"),
    plugin("encoders", "gnet", f"{_HERE}.gnet:GNetEncoder"),
    plugin("encoders", "gru", f"{_HERE}.sequences:GruEncoder"),
    plugin("encoders", "img2fmri", f"{_HERE}.pretrained:Img2fmriEncoder"),
    plugin("encoders", "lstm", f"{_HERE}.sequences:LstmEncoder"),
    plugin("encoders", "mindsimulator", f"{_HERE}.mindsimulator:MindSimulatorEncoder"),
    plugin("encoders", "mlp", f"{_HERE}.sequences:MlpEncoder"),
    plugin("encoders", "mosaic", f"{_HERE}.pretrained:MosaicEncoder"),
    plugin("encoders", "neuroflow", f"{_HERE}.neuroflow:NeuroFlowEncoder"),
    plugin("encoders", "nrf", f"{_HERE}.nrf:NrfEncoder"),
    plugin("encoders", "ridge", f"{_HERE}.ridge:RidgeEncoder"),
    plugin("encoders", "semantic", f"{_HERE}.semantic:SemanticEncoder"),
    plugin("encoders", "stacked", f"{_HERE}.stacked:StackedEncoder"),
    plugin("encoders", "synbrain", f"{_HERE}.synbrain:SynBrainEncoder"),
    plugin("encoders", "universal", f"{_HERE}.universal:UniversalEncoder"),
)
