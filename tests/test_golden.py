"""Networks equal the recorded outputs of the original authors' modules, and the checker is strict."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden import check
from golden.pairs import CheckFailed, Pair, filled

FOLDER = Path(__file__).parent / "golden"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "golden"
HERE = [(name, file) for name, file in check.entries(FOLDER) if not name.startswith("metrics_")]


@pytest.mark.parametrize(("name", "file"), HERE, ids=[name for name, _ in HERE])
def test_recorded_outputs_are_reproduced(name, file):
    result = check.check_entry(name, file)
    assert not result.problem
    assert result.lines


def test_every_network_of_mindeye2_is_here():
    names = {name for name, _ in HERE}
    assert names >= {"mindeye2_backbone_a", "mindeye2_backbone_b", "mindeye2_prior_a", "unclip_a"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared reference vectors are not beside the repository")
def test_shared_vectors_pass_or_are_of_kinds_not_checked_yet(record_property):
    own = {name for name, _ in check.entries(FOLDER)}
    for name, file in check.entries(SHARED):
        if name in own:
            same = file.suffix == ".json" and not name.startswith("full_")
            if same and (FOLDER / file.name).exists():
                assert json.loads(file.read_text()) == json.loads((FOLDER / file.name).read_text()), name
            continue
        result = check.check_entry(name, file)
        assert result.unknown or not result.problem, result.problem
        if result.unknown:
            record_property("not checked yet", name)


def small_pair(**changes):
    """The recorded backbone without a low-level head, changed."""
    pair = Pair.open(FOLDER, "mindeye2_backbone_b")
    record, arrays = json.loads(json.dumps(pair.record)), {k: pair._arrays[k] for k in pair._arrays}
    for key, value in changes.get("state", {}).items():
        if value is None:
            record["state_dict"].pop(key)
        else:
            record["state_dict"][key] = value
    record["config"] |= changes.get("config", {})
    arrays |= changes.get("arrays", {})
    record |= changes.get("record", {})
    return Pair(record, arrays, name="changed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"record": {"kind": "a new one"}}, "no check for the kind 'a new one'; known: .*BrainNetwork"),
        ({"state": {"backbone_linear.bias": None}}, "1 keys here are not recorded"),
        ({"state": {"extra.weight": [[2], "float32", "filled"]}}, "1 recorded keys are missing here"),
        (
            {"state": {"clip_proj.0.bias": [[9], "float32", "filled"]}},
            r"'clip_proj.0.bias' has shape \(8,\), recorded \(9,\)",
        ),
        ({"state": {"clip_proj.0.bias": [[8], "float16", "filled"]}}, "is float32, recorded float16"),
        ({"arrays": {"extra": np.ones(1)}}, r"recorded but not compared: \['extra'\]"),
        ({"config": {"extra": 1}}, r"recorded but not compared: \['config.extra'\]"),
        ({"record": {"other_state_dict": {}}}, r"not compared: \['other_state_dict'\]"),
        ({"arrays": {"backbone": np.zeros((3, 4, 8), np.float32)}}, "backbone: largest error .* FAILED"),
        ({"arrays": {"backbone": np.full((3, 4, 8), np.nan, np.float32)}}, "backbone: .*nan.*FAILED"),
        ({"arrays": {"backbone": np.zeros((3, 4), np.float32)}}, "backbone has shape"),
    ],
    ids=str,
)
def test_a_deviating_record_fails(changes, message):
    with pytest.raises(CheckFailed, match=message):
        check.check_pair(small_pair(**changes))


def test_an_error_above_the_tolerance_fails_and_one_below_passes():
    good = small_pair()
    check.check_pair(good)
    reference = Pair.open(FOLDER, "mindeye2_backbone_b").array("backbone")
    for factor, passes in ((0.5, True), (2.0, False)):
        moved = reference.copy()
        moved[0, 0, 0] += factor * 1e-4 * reference.std()
        pair = small_pair(arrays={"backbone": moved})
        if passes:
            check.check_pair(pair)
        else:
            with pytest.raises(CheckFailed, match="backbone"):
                check.check_pair(pair)


def test_a_check_that_forgets_an_output_fails(monkeypatch):
    monkeypatch.setitem(check.CHECKS, "one of two", lambda pair: pair.compare("first", 1.0))
    pair = Pair({"kind": "one of two", "expected": {"first": 1.0, "second": 2.0}}, {})
    with pytest.raises(CheckFailed, match=r"not compared: \['second'\]"):
        check.check_pair(pair)


def test_weights_follow_from_their_names():
    import zlib

    plain = np.random.default_rng(zlib.crc32(b"a.weight")).standard_normal((2, 3))
    np.testing.assert_array_equal(filled("a.weight", (2, 3), "float64", scale=0.5), plain * 0.5)
    gain = np.random.default_rng(zlib.crc32(b"a.weight")).standard_normal(3)
    np.testing.assert_array_equal(filled("a.weight", (3,), "float64"), gain * 0.05 + 1)
    bias = np.random.default_rng(zlib.crc32(b"a.bias")).standard_normal(3)
    np.testing.assert_array_equal(filled("a.bias", (3,), "float32"), (bias * 0.05).astype(np.float32))


@pytest.mark.parametrize("change", ["none", "missing", "left over", "shape"])
def test_a_key_list_is_compared_in_both_directions(tmp_path, change):
    keys = json.loads(gzip.decompress((FOLDER / "full_mindeye2_keys.json.gz").read_bytes()))
    if change == "missing":
        keys.pop("ridge.linears.0.bias")
    elif change == "left over":
        keys["ridge.linears.1.bias"] = [[4096], "float32"]
    elif change == "shape":
        keys["ridge.linears.0.weight"] = [[4096, 15725], "float32"]
    (tmp_path / "full_mindeye2_keys.json").write_text(json.dumps(keys))
    (result,) = check.check_folder(tmp_path)
    assert bool(result.problem) == (change != "none"), result.problem


def copy_pair(name, folder):
    for suffix in ("json", "npz"):
        (folder / f"{name}.{suffix}").write_bytes((FOLDER / f"{name}.{suffix}").read_bytes())


def test_the_command_prints_every_output(tmp_path):
    copy_pair("mindeye2_backbone_b", tmp_path)
    words = [sys.executable, str(FOLDER / "check.py"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "backbone: largest error" in done.stdout
    assert "clip_voxels: largest error" in done.stdout
    assert "1 of 1 passed" in done.stdout


def test_the_command_fails_on_anything_unknown_or_unreadable(tmp_path, capsys):
    assert check.main([str(tmp_path)]) == 1, "an empty folder is no success"
    assert check.main([]) == 2
    assert "expected one folder" in capsys.readouterr().err
    copy_pair("mindeye2_backbone_b", tmp_path)
    (tmp_path / "lonely.npz").write_bytes(b"")
    (tmp_path / "torn.json").write_text('{"kind": ')
    (tmp_path / "full_new_keys.json").write_text("{}")
    (tmp_path / "other.json").write_text('{"kind": "no such"}')
    np.savez(tmp_path / "other.npz", x=np.ones(1))
    assert check.main([str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "1 of 5 passed" in shown
    assert "no check for the kind 'no such'" in shown
    assert "no check for the key list 'full_new_keys'" in shown
    assert "lonely cannot be read" in shown
    assert "torn cannot be read" in shown
