"""``NAME:VALUE`` names an encoder and the parameter that it lets be given so."""

from __future__ import annotations

import pytest

from harness.errors import ConfigError
from harness.run.plan import make_plan
from harness.run.shorthand import with_argument
from harness.settings import Request


def test_the_value_becomes_the_parameter_that_the_encoder_names():
    request = with_argument(Request(encoder="img2fmri:2", values={"encoder": {"folder": "x"}}))
    assert (request.encoder, request.values["encoder"]) == ("img2fmri", {"subject": 2, "folder": "x"})
    assert with_argument(Request(encoder="berg:fmri-nsd-fwrf")).values["encoder"] == {
        "model": "fmri-nsd-fwrf"
    }
    with pytest.raises(ConfigError, match="encoder 'ridge' takes nothing behind a colon"):
        with_argument(Request(encoder="ridge:3"))


@pytest.mark.parametrize(
    "name", ["ridge", "fmri-harness:ridge", "file:p.npz", "a/b.py:Class", "other:x", None]
)
def test_other_names_stay(name):
    request = Request(encoder=name)
    assert with_argument(request) is request


def test_the_plan_says_what_is_missing_and_refuses_a_wrong_value(monkeypatch):
    monkeypatch.setattr("harness.encoders.pretrained.img2fmri.package_folder", lambda name: None)
    plan = make_plan(Request(encoder="img2fmri:3"), need_decoder=False)
    assert plan.encoder_params.subject == 3
    assert "pip install --no-deps img2fmri==1.0" in plan.missing[0]
    with pytest.raises(ConfigError, match="it must be between 1 and 3"):
        make_plan(Request(encoder="img2fmri:4"), need_decoder=False)
