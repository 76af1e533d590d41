"""Fetching weights from a server of this machine: success, truncation, wrong content, no network."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hostile_pickles import Runs

from harness.backbones import weights
from harness.errors import ConfigError, StoreError, WeightsMissing

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: more than two chunks
SHA = hashlib.sha256(CONTENT).hexdigest()


class _Server(BaseHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        kind = self.path.split("/")[1]
        if kind == "absent":
            self.send_error(404)
            return
        body = CONTENT[::-1] if kind == "other" else CONTENT
        self.send_response(200)
        if kind != "unsized":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind in ("torn", "unsized-torn") else body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("HARNESS_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def serve(address, folder, monkeypatch):
    """Let ``toy`` come from one of the server's paths."""

    def pin(kind: str, *, prefix: str = SHA[:8]) -> Path:
        pinned = weights.PinnedWeights(f"{address}/{kind}/toy-{prefix}.pth", prefix, 2, "a toy")
        monkeypatch.setitem(weights.WEIGHTS, "toy", pinned)
        return folder / pinned.file_name

    return pin


def left_over(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_fetch_stores_the_file_and_its_whole_hash(serve, folder):
    file = serve("whole")
    seen = []
    assert weights.fetch("toy", progress=lambda done, total: seen.append((done, total))) == file
    assert file.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 2
    record = json.loads((folder / f"{file.name}.json").read_text())
    assert record["sha256"] == SHA
    assert record["bytes"] == len(CONTENT)
    assert weights.locate("toy") == file
    assert weights.stored_sha("toy") == SHA
    assert left_over(folder) == [file.name, f"{file.name}.json"]
    before = _Server.requests
    weights.fetch("toy")
    assert _Server.requests == before


def test_a_server_that_tells_no_length_is_fine(serve):
    file = serve("unsized")
    assert weights.fetch("toy").read_bytes() == CONTENT == file.read_bytes()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torn", r"broke off .*nothing was kept. Run the same command again"),
        ("unsized-torn", r"nothing was kept"),
        ("other", r"is not a toy: SHA-256 [0-9a-f]{16}... of 2304000 bytes, expected " + SHA[:8]),
        ("absent", r"cannot be reached \(Not Found\).*--from FILE"),
    ],
)
def test_a_bad_download_leaves_nothing(serve, folder, kind, message):
    serve(kind)
    with pytest.raises(WeightsMissing, match=message) as caught:
        weights.fetch("toy")
    assert "\n" not in str(caught.value)
    assert left_over(folder) == []
    serve("whole")
    weights.fetch("toy")


def test_offline_fails_at_once_and_names_the_file(serve, folder, monkeypatch):
    file = serve("whole")
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    before = _Server.requests
    for use in (weights.fetch, weights.locate, weights.load_state):
        with pytest.raises(WeightsMissing) as caught:
            use("toy")
        assert str(file) in str(caught.value)
        assert "harness prefetch toy" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert _Server.requests == before
    assert not folder.exists()
    monkeypatch.setenv("HARNESS_OFFLINE", "0")
    assert weights.fetch("toy") == file


def test_a_copy_from_elsewhere_works_offline(serve, folder, tmp_path, monkeypatch):
    file = serve("whole")
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    (tmp_path / "copy.pth").write_bytes(CONTENT)
    assert weights.fetch("toy", source=tmp_path / "copy.pth") == file
    assert weights.locate("toy") == file
    assert (tmp_path / "copy.pth").exists()
    serve("whole", prefix="0" * 8)
    with pytest.raises(WeightsMissing, match=r"expected 00000000"):
        weights.fetch("toy", source=tmp_path / "copy.pth")
    with pytest.raises(WeightsMissing, match=r"--from .*nowhere.pth cannot be read \(No such file"):
        weights.fetch("toy", source=tmp_path / "nowhere.pth")


@pytest.mark.parametrize("damage", ["torn", "altered", "no record", "bad record", "other record"])
def test_a_damaged_file_is_refused_and_fetched_again(serve, folder, damage):
    file = serve("whole")
    weights.fetch("toy")
    record = file.with_name(f"{file.name}.json")
    if damage == "torn":
        file.write_bytes(CONTENT[:-5])
    elif damage == "altered":
        file.write_bytes(b"x" + CONTENT[1:])
    elif damage == "no record":
        record.unlink()
    elif damage == "bad record":
        record.write_text("[1, 2")
    else:
        other = b"y" + CONTENT[1:]
        file.write_bytes(other)
        record.write_text(json.dumps({"sha256": hashlib.sha256(other).hexdigest(), "bytes": len(other)}))
    with pytest.raises(WeightsMissing, match=r"Type: harness prefetch toy") as caught:
        weights.locate("toy")
    assert str(file) in str(caught.value)
    assert "harness prefetch toy" in weights.status()["toy"]
    weights.fetch("toy")
    assert file.read_bytes() == CONTENT
    assert weights.status()["toy"] == f"present: {file}"


def test_a_folder_that_cannot_be_written_is_one_line(serve, tmp_path, monkeypatch):
    serve("whole")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "file" / "weights"))
    with pytest.raises(StoreError, match=r"cannot write the weights to .* HARNESS_WEIGHTS"):
        weights.fetch("toy")


def test_no_space_left_is_one_line_and_leaves_nothing(serve, folder, monkeypatch):
    import errno
    import os

    serve("whole")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(weights.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        weights.fetch("toy")
    assert left_over(folder) == []


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_file_can_execute(serve, folder, monkeypatch, tmp_path):
    import pickle

    content = pickle.dumps({"weight": Runs(tmp_path / "executed")})
    (tmp_path / "evil.pth").write_bytes(content)
    serve("whole", prefix=hashlib.sha256(content).hexdigest()[:8])
    weights.fetch("toy", source=tmp_path / "evil.pth")
    with pytest.raises(WeightsMissing, match="are not plain weights"):
        weights.load_state("toy")
    assert not (tmp_path / "executed").exists()


def test_names():
    with pytest.raises(ConfigError, match=r"unknown weights 'alexnett'; did you mean 'alexnet'\?"):
        weights.locate("alexnett")
    pin = weights.WEIGHTS["alexnet"]
    assert pin.file_name == f"alexnet-owt-{pin.sha256_prefix}.pth"


def test_pins_are_what_publishers_say():
    from torchvision import models

    kinds = {
        "alexnet": models.AlexNet_Weights.IMAGENET1K_V1,
        "inception": models.Inception_V3_Weights.DEFAULT,
        "efficientnet": models.EfficientNet_B1_Weights.DEFAULT,
        "efficientnet-rwightman": models.EfficientNet_B1_Weights.IMAGENET1K_V1,
        "resnet18": models.ResNet18_Weights.DEFAULT,
    }
    for name, kind in kinds.items():
        pin = weights.WEIGHTS[name]
        assert pin.url == kind.url
        assert pin.file_name.removesuffix(".pth").endswith(f"-{pin.sha256_prefix}")
        assert abs(pin.megabytes - kind.meta["_file_size"] * 1.048576) < 1
    for name in ("clip", "dinov2"):
        pin = weights.WEIGHTS[name]
        assert len(bytes.fromhex(pin.sha256_prefix)) == 32
        revision = pin.url.split("/")[-2]
        assert len(bytes.fromhex(revision)) == 20  # a commit, not a branch that moves
    files = [pin.file_name for pin in weights.WEIGHTS.values()]
    assert len(set(files)) == len(files)
    assert [name for name, pin in weights.WEIGHTS.items() if not pin.sha256_prefix] == [
        *("swav", "gnet", "vd-image-unet", "vd-text-unet", "vd-vae", "sd14-unet", "sd14-vae", "vdvae")
    ]


def test_weights_without_a_published_hash_are_pinned_by_their_first_copy(serve, folder, tmp_path):
    file = serve("whole", prefix="")
    weights.fetch("toy")
    assert weights.stored_sha("toy") == SHA
    file.write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(WeightsMissing, match="were altered"):
        weights.stored_sha("toy")
    (tmp_path / "other.pth").write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsMissing, match=rf"expected {SHA[:16]}\.\.\.; nothing was kept"):
        weights.fetch("toy", source=tmp_path / "other.pth")
    file.unlink()
    with pytest.raises(WeightsMissing, match=r"is not a toy"):
        weights.fetch("toy", source=tmp_path / "other.pth")
    weights.fetch("toy")
    assert weights.stored_sha("toy") == SHA


def test_absent_is_told_from_altered(serve, folder):
    file = serve("whole")
    with pytest.raises(weights.WeightsAbsent):
        weights.locate("toy")
    weights.fetch("toy")
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsMissing) as caught:
        weights.locate("toy")
    assert not isinstance(caught.value, weights.WeightsAbsent)


def test_groups_name_weights_and_no_group_is_one():
    assert not set(weights.GROUPS) & set(weights.WEIGHTS)
    for group, inside in weights.GROUPS.items():
        assert set(inside) <= set(weights.WEIGHTS)
        assert weights.members(group) == inside
    assert weights.members("clip") == ("clip",)
    assert weights.megabytes(["alexnet", "clip"]) == 245 + 1711
    with pytest.raises(ConfigError, match=r"'metric'; did you mean 'metrics'\?"):
        weights.members("metric")


@pytest.fixture
def pair(serve, monkeypatch, tmp_path) -> Path:
    """A group ``both`` of two weights, and a folder that holds copies of them."""
    copies = tmp_path / "copies"
    copies.mkdir()
    for name in ("one", "two"):
        content = name.encode() * 1000
        pin = weights.PinnedWeights(
            "http://nowhere/x", hashlib.sha256(content).hexdigest(), 1, "a", f"{name}.pt"
        )
        monkeypatch.setitem(weights.WEIGHTS, name, pin)
        (copies / pin.file_name).write_bytes(content)
    monkeypatch.setitem(weights.GROUPS, "both", ("one", "two"))
    return copies


def prefetch(*words: object):
    from click.testing import CliRunner

    from harness.cli.prefetch import prefetch

    return CliRunner().invoke(prefetch, [str(word) for word in words])


def test_prefetch_fills_a_group_from_a_folder_offline(pair, folder, monkeypatch):
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    refused = prefetch("both")
    assert isinstance(refused.exception, WeightsMissing)
    assert "2 of 2 weights are not here: one (one.pt), two (two.pt)" in str(refused.exception)
    assert "harness prefetch both --from FOLDER" in str(refused.exception)
    assert "\n" not in str(refused.exception)
    done = prefetch("both", "two", "--from", pair)
    assert done.exit_code == 0, done.exception
    assert done.output == f"one: {folder / 'one.pt'}\ntwo: {folder / 'two.pt'}\n"
    listed = prefetch().output
    assert f"present: {folder / 'two.pt'}" in listed
    assert "all of one, two (2 MB)" in listed


def test_prefetch_wants_a_folder_for_a_group_and_names_what_the_folder_lacks(pair, folder):
    refused = prefetch("both", "--from", pair / "one.pt")
    assert isinstance(refused.exception, ConfigError)
    assert "one file for 2 weights (one, two); give a folder" in str(refused.exception)
    (pair / "two.pt").unlink()
    refused = prefetch("both", "--from", pair)
    assert isinstance(refused.exception, WeightsMissing)
    assert "two.pt cannot be read" in str(refused.exception)
    (pair / "one.pt").write_bytes(b"something else")
    (folder / "one.pt").unlink()
    refused = prefetch("both", "--from", pair)
    assert "2 of 2 weights are not here: one (one.pt), two (two.pt)" in str(refused.exception)
    assert "one.pt is not a" in str(refused.exception)


def test_prefetch_asks_a_network_that_fails_once(pair, folder, monkeypatch):
    """What is here is said, and what is not is named together."""
    weights.fetch("two", source=pair / "two.pt")
    monkeypatch.setitem(weights.WEIGHTS, "three", replace(weights.WEIGHTS["one"], stored_as="three.pt"))
    monkeypatch.setitem(weights.GROUPS, "all", ("one", "two", "three"))
    asked = []

    def no_network(url, **_):
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    refused = prefetch("all")
    assert refused.output == f"two: {folder / 'two.pt'}\n"
    assert "2 of 3 weights are not here: one (one.pt), three (three.pt)" in str(refused.exception)
    assert "no route to host" in str(refused.exception)
    assert len(asked) == 1
