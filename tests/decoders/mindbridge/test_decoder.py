"""MindBridge, small, and its published files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fitted_decoders import fitted, seeds

from harness.api import ConfigError, DataError
from harness.decoders.mindbridge import network as bridge
from harness.decoders.mindbridge.decoder import TINY as BRIDGE
from harness.decoders.mindbridge.decoder import MindBridgeDecoder, MindBridgeParams
from harness.decoders.takagi.decoder import TakagiParams

MINDBRIDGE = MindBridgeParams(weights="tiny", epochs=3, steps=3)


def test_mindbridge_decodes_a_subject_of_a_bridge_and_adapts_to_another(subject, tmp_path):
    torch.manual_seed(0)
    whole = bridge.MindBridgeNetwork([1, 2, 5], BRIDGE)
    file = tmp_path / "last.pth"
    torch.save({"epoch": 1, "model_state_dict": whole.state_dict()}, file)
    params = replace(MINDBRIDGE, checkpoint=str(file), number=2)
    decoder = MindBridgeDecoder.from_pretrained(params, subject.space, device="cpu")
    decoded = decoder.decode(subject.test.responses, seeds=seeds(4))
    assert decoded.images.shape == (4, 1, 64, 64, 3)
    with pytest.raises(DataError, match="no subject 7; it has 1, 2, 5"):
        MindBridgeDecoder.from_pretrained(replace(params, number=7), subject.space, device="cpu")
    adapted = fitted(MindBridgeDecoder, replace(params, number=0), subject, tmp_path / "new")
    shared, own = whole.state_dict(), adapted.network.state_dict()
    assert all(torch.equal(own[k], v) for k, v in shared.items() if k.startswith(("translator", "head")))
    assert not torch.equal(own["embedder.1.1.weight"], shared["embedder.1.1.weight"])


def test_words_need_captions_and_what_cannot_be_is_refused(subject, tmp_path):
    from harness.api import Split, Stimuli

    stimuli = subject.train.stimuli
    bare = Stimuli.from_array(stimuli.ids, np.asarray(stimuli.images()))
    mute = replace(subject, train=Split(bare, subject.train.responses))
    with pytest.raises(DataError, match="learns from captions"):
        fitted(MindBridgeDecoder, MINDBRIDGE, mute, tmp_path)
    with pytest.raises(ConfigError, match="no checkpoint whose subject"):
        MindBridgeParams(number=3)
    with pytest.raises(ConfigError, match="penalties"):
        TakagiParams(penalties=(0.0,))
