"""Nothing secret is written down."""

from __future__ import annotations

import json

import pytest
from commands import TOYS, call_harness

from harness.secrets import LEFT_OUT, secret_values, without_secrets

HF = "hf_" + "aBcDeFgHiJ" * 3
SECRET = "correct-horse-battery"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"--set encoder.api_key={SECRET}", "--set encoder.api_key="),
        (f"encoder.auth_token: {SECRET}", "encoder.auth_token: "),
        (f"https://me:{SECRET}@host/data.h5", "@host/data.h5"),
        (f"s3://{SECRET}@bucket/x", "@bucket/x"),
        (f"weights from {HF}", "weights from "),
        (f"https://host/x.npy?token={SECRET}&v=2", "&v=2"),
        (f'{{"password": "{SECRET}"}}', '{"password": "'),
    ],
)
def test_secrets_of_texts_are_left_out_and_the_rest_stays(given, kept):
    shown = without_secrets(given)
    assert SECRET not in shown
    assert HF not in shown
    assert kept in shown
    assert LEFT_OUT in shown


@pytest.mark.parametrize(
    "key", ["password", "hf_token", "benchmark.secret", "access-key", "aws_secret_access_key"]
)
def test_settings_that_are_called_secrets_are_left_out_at_any_depth(key):
    shown = without_secrets({"parameters": [{key: SECRET, "depth": 4}]})
    assert shown == {"parameters": [{key: LEFT_OUT, "depth": 4}]}


@pytest.mark.parametrize(
    "plain",
    [
        {"n_tokens": 257, "token": 3, "tokens": [1, 2], "token_dim": 64},
        {"secret": "", "key": "betas", "ids": ["token-1", "sk-7"], "share": 0.5},
        "harness run --set encoder.tokens=64 --set benchmark.file=data.h5:key",
        "https://host/a@b.h5 and me@host",
    ],
)
def test_what_is_no_secret_stays(plain):
    assert without_secrets(plain) == plain


def test_values_of_secret_variables_are_found_wherever_they_stand(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", SECRET)
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    assert without_secrets([f"/data/{SECRET}/x", "abc"]) == [f"/data/{LEFT_OUT}/x", "abc"]
    pairs = [("A_TOKEN", "longer-value-1"), ("PATH", "/usr/bin"), ("B_PASSWORD", "short1")]
    assert secret_values(pairs) == ["longer-value-1", "short1"]


def test_a_run_writes_no_secret_of_its_command_or_settings(tmp_path, toy_words, monkeypatch):
    """The command is recorded as it was typed; a secret in it is not."""
    monkeypatch.setenv("HF_TOKEN", HF)
    plugin = tmp_path / "keyed.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        f"import runpy\nToyEncoder = runpy.run_path({str(TOYS)!r})['ToyEncoder']\n"
        "@dataclass(frozen=True)\nclass Params(ToyEncoder.Params):\n"
        "    api_key: str = ''\n    place: str = ''\n"
        "class Keyed(ToyEncoder):\n    Params = Params\n"
    )
    words = [word.replace(f"{TOYS}:ToyEncoder", f"{plugin}:Keyed") for word in toy_words]
    words = ["run", *words[:-1], "pixcorr,voxel-r", "--no-report"]
    given = ("--set", f"encoder.api_key={SECRET}", "--set", f"encoder.place=/x/{HF}/y")
    call_harness(tmp_path, *words, *given)
    texts = [file.read_text() for file in tmp_path.rglob("run.json")]
    assert texts
    for text in texts:
        assert SECRET not in text
        assert HF not in text
        record = json.loads(text)
        assert record["encoder"]["params"]["api_key"] == LEFT_OUT
        assert f"encoder.api_key={LEFT_OUT}" in record["command"]
