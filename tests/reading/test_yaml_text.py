"""YAML as people mean it, and whatever is wrong with it in one short line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import ROOT

from harness.benchmarks.paired import Paired
from harness.errors import ConfigError, DataError
from harness.reading.yaml_text import load_yaml
from harness.settings import read_request, read_yaml, resolve_params

CONFIGS = sorted(
    file for folder in ("configs", "encoders", "decoders") for file in (ROOT / folder).rglob("*.yaml")
)
TYPED = [
    "0010",
    "010",
    "00",
    "1:30",
    "190:20:30",
    "1_000",
    "1e3",
    "0x1F",
    "0o17",
    "0b11",
    "+5",
    "1.10",
    "1518878.010040",
    "01.5",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "2020-01-01",
    "2001-12-14 21:59:43",
    "=",
    "1.2.3",
    "9" * 500,
]


@pytest.mark.parametrize("text", TYPED)
def test_what_is_no_plain_number_stays_as_it_was_typed(text):
    assert load_yaml(f"a: [{text}]", where="f") == {"a": [text]}
    assert load_yaml(f"{text}: a", where="f") == {text: "a"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        ("-1.25", -1.25),
        ("1.0e-3", 1e-3),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'0010'", "0010"),
        ('"true"', "true"),
        ("[a, {b: 1}]", ["a", {"b": 1}]),
    ],
)
def test_numbers_logicals_and_structure(text, value):
    read = load_yaml(f"a: {text}", where="f")["a"]
    assert read == value
    assert type(read) is type(value)
    assert math.isnan(load_yaml("a: .nan", where="f")["a"])


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_own_files_mean_the_same_by_either_rule(file):
    plain = yaml.safe_load(file.read_text()) or {}
    if True in plain:
        plain["on"] = plain.pop(True)
    assert read_yaml(file) == plain


def test_parameters_become_the_numbers_that_they_need(tmp_path):
    (tmp_path / "r.yaml").write_text("run: {samples: 0010, micro_batch: '4', allow_missing: yes}\n")
    from harness.settings import RunSettings

    request = read_request(tmp_path / "r.yaml", ["run.derangements=1_0"], plugins={})
    settings = resolve_params(RunSettings, request.values["run"], section="run")
    assert (settings.samples, settings.micro_batch, settings.derangements) == (10, 4, 10)
    assert settings.allow_missing is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 1, d: 2,\n  c: 3}\n", "the key 'c' is given a second time in line 3; keep one"),
        ("a: 1\na: 1\n", "the key 'a' is given a second time in line 2"),
        ("a: &x [*x]\n", "an alias in line 1 stands for itself"),
        ("a: [\n", r"not valid YAML \(line 2\)"),
        ("a:\n\tb: 1\n", r"not valid YAML \(line 2\): a tab; indent by spaces"),
        ("a: *b\n", r"not valid YAML \(line 1\): found undefined alias 'b'"),
        ("a:1\n", r"expected keys and values, found 'a:1'; write KEY: VALUE, with a space"),
        ("a: !!python/object/apply:os.system ['touch ran']\n", r"not valid YAML \(line 1\)"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("? [1, 2]\n: 3\n", "not valid YAML|unhashable"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"f\.yaml.*({message})") as caught:
        read_yaml(Path("f.yaml"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert not Path("ran").exists()


def test_merged_keys_may_be_given_again():
    text = "base: &b {a: 1, c: 2}\nmine: {<<: *b, a: 3}\n"
    assert load_yaml(text, where="f")["mine"] == {"a": 3, "c": 2}


@pytest.mark.parametrize("leaf", ["[x, x, x, x, x, x, x, x, x, x]", "'" + "x" * 5000 + "'"])
def test_an_alias_bomb_is_refused_before_it_goes_off(tmp_path, leaf):
    lines = [f"a0: &a0 {leaf}"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9)]
    (tmp_path / "f.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"its aliases \(\*name\) stand for [\d,]+ values") as caught:
        read_yaml(tmp_path / "f.yaml")
    assert len(str(caught.value)) < 300


def test_a_long_value_is_cut_where_it_is_quoted(tmp_path):
    values = ", ".join(f"{{k{k}: {'x' * 100}}}" for k in range(1000))
    (tmp_path / "f.yaml").write_text(f"benchmark: {{units: raw, dataset: [{values}]}}\n")
    request = read_request(tmp_path / "f.yaml", [], plugins={})
    with pytest.raises(ConfigError, match=r"benchmark\.dataset is .*; expected text") as caught:
        resolve_params(Paired.Params, request.values["benchmark"], section="benchmark")
    assert len(str(caught.value)) < 400


def loaded(folder, test_ids, ids):
    ids = [*ids, *(type(ids[0])(k) for k in (90, 91, 92))]  # some are left for training
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(ids), 4, 4, 3), np.uint8)
    np.savez(folder / "d.npz", a=images, y=rng.normal(size=(len(ids), 3)), i=np.array(ids))
    (folder / "d.yaml").write_text(
        "benchmark:\n  file: d.npz\n  data: {images: a, responses: y, ids: i}\n  units: raw\n"
        f"  image_layout: nhwc\n  test_ids: {test_ids}\n"
    )
    given = read_request(folder / "d.yaml", [], plugins={}).values["benchmark"]
    return Paired(resolve_params(Paired.Params, given, section="benchmark")).load("subj01")


@pytest.mark.parametrize(
    ("test_ids", "ids", "test"),
    [
        ("[0010, 0011, 0020]", range(1, 31), ["10", "11", "20"]),
        ("['0010', 11]", range(1, 31), ["10", "11"]),
        ("[8, 10]", ["0008", "0009", "0010"], ["0008", "0010"]),
        ("[yes, off, 1:30]", ["yes", "no", "on", "off", "1:30"], ["off", "yes", "1:30"]),
        ("[2020-01-01, 1e3]", ["2020-01-01", "1e3", "1000"], ["2020-01-01", "1e3"]),
        ("[1.10]", ["1.1", "1.10", "1.2"], ["1.10"]),
        ("[1.5]", ["1.5", "2.5"], ["1.5"]),
        ("[1518878.01004]", [1518878.01004, 1518878.00101], ["1518878.010040"]),
        ("[1518878.010040]", [1518878.01004, 1518878.00101], ["1518878.010040"]),
        ("[cat.png]", ["cat.JPEG", "dog.JPEG"], ["cat.JPEG"]),
        ("['true', 'null']", ["true", "null", "x"], ["true", "null"]),
    ],
)
def test_test_ids_are_the_ids_that_were_typed(tmp_path, test_ids, ids, test):
    assert sorted(loaded(tmp_path, test_ids, list(ids)).test.stimuli.ids) == sorted(test)


@pytest.mark.parametrize(
    ("test_ids", "ids", "message"),
    [
        ("[true]", ["true", "x"], "test_ids holds true; if it is an id put it in quotes, 'true'"),
        ("[null]", ["null", "x"], "test_ids holds null; if it is an id put it in quotes, 'null'"),
        ("[0010]", ["8", "9"], "test_ids: 1 ids belong to no image, for example '0010'"),
        (
            "[1.10]",
            ["1.1", "1.2"],
            "1 ids belong to no image, for example '1.10'; did you mean '1.1'",
        ),
    ],
)
def test_test_ids_that_mean_no_image_are_refused(tmp_path, test_ids, ids, message):
    with pytest.raises((ConfigError, DataError), match=message):
        loaded(tmp_path, test_ids, ids)
