"""Discovery: lazy, isolated, unambiguous; third-party packages join through entry points alone."""

from __future__ import annotations

import sys
import textwrap

import pytest
from commands import TOYS

from harness import plugins
from harness.errors import PluginError
from harness.storage.identity import code_sha


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install throw-away distributions: name -> entry points, with modules beside them."""

    def install(dist: str, points: str, **modules: str) -> None:
        info = tmp_path / f"{dist.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(points))
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
            monkeypatch.delitem(sys.modules, name, raising=False)

    monkeypatch.syspath_prepend(str(tmp_path))
    return install


def test_listing_imports_nothing(installed):
    installed(
        "lab",
        "[harness.encoders]\nexplosive = explosive_module:X\n",
        explosive_module="raise SystemExit('boom')",
    )
    names = [ref.name for ref in plugins.available("encoders")]
    assert "explosive" in names
    assert "ridge" in names
    assert "explosive_module" not in sys.modules


def test_a_broken_plugin_hides_no_healthy_one(installed):
    installed(
        "lab",
        "[harness.encoders]\nbroken = broken_module:X\nhealthy = healthy_module:Healthy\n",
        broken_module="import no_such_dependency",
        healthy_module=(
            f"import sys\nsys.path.insert(0, {str(TOYS.parent)!r})\nfrom toys import ToyEncoder as Healthy"
        ),
    )
    with pytest.raises(PluginError, match=r"encoder 'broken' \(lab\) fails on import.*no_such_dependency"):
        plugins.find("encoders", "broken").load()
    assert plugins.find("encoders", "healthy").load().version == "1"


def test_a_distribution_without_a_name_breaks_no_list(installed, tmp_path):
    installed("lab", "[harness.encoders]\nmine = mine_module:X\n")
    torn = tmp_path / "torn-1.0.dist-info"
    torn.mkdir()
    (torn / "entry_points.txt").write_text("[harness.encoders]\nmine = torn_module:X\n")
    assert [ref.dist for ref in plugins.available("encoders") if ref.name == "mine"] == ["lab", "unknown"]


def test_two_of_one_name_is_an_error_that_says_what_to_type(installed):
    for dist in ("lab-a", "lab-b"):
        installed(dist, "[harness.encoders]\ntwin = whatever:X\n")
    with pytest.raises(PluginError, match="--encoder lab-a:twin or --encoder lab-b:twin"):
        plugins.find("encoders", "twin")
    assert plugins.find("encoders", "lab-b:twin").dist == "lab-b"
    assert set(plugins.doubled(plugins.available("encoders"))) == {"twin"}


def test_unknown_names_suggest():
    with pytest.raises(PluginError, match="did you mean 'ridge'"):
        plugins.find("encoders", "rigde")


def test_an_incomplete_class_names_what_lacks(installed):
    installed(
        "lab", "[harness.encoders]\nhalf = half_module:Half\n", half_module="class Half:\n    version = '1'\n"
    )
    with pytest.raises(PluginError, match="lacks Params, stochastic, wants, fit"):
        plugins.find("encoders", "half").load()


def test_another_interface_is_refused(installed):
    installed(
        "lab", "[harness.encoders]\nold = old_module:Old\n", old_module="class Old:\n    interface = 99\n"
    )
    with pytest.raises(PluginError, match="interface 99; this harness speaks 1"):
        plugins.find("encoders", "old").load()


def test_a_class_in_a_file():
    ref = plugins.find("encoders", f"{TOYS}:ToyEncoder")
    assert ref.load() is ref.load()
    assert len(ref.file_sha()) == 64


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no/such/file.py:X", "there is no file"),
        (f"{TOYS}", "names a file but no class"),
        (
            f"{TOYS}:Absent",
            "toys.py defines no class 'Absent', only ToyBenchmark, ToyEncoder, ToyDecoder; type",
        ),
    ],
)
def test_bad_paths(spec, message):
    with pytest.raises(PluginError, match=message):
        plugins.find("encoders", spec).load()


@pytest.mark.parametrize(
    ("group", "path", "words"),
    [
        ("encoders", "p.npz", "--encoder file:p.npz"),
        ("decoders", "p.npz", "--decoder file:p.npz"),
        ("decoders", "recons", "--decoder folder:recons"),
        ("benchmarks", "mine.yaml", "--config mine.yaml"),
    ],
)
def test_a_path_in_place_of_a_name_says_how_paths_are_given(tmp_path, monkeypatch, group, path, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match="unknown"):
        plugins.find(group, path)
    (tmp_path / path).touch() if "." in path else (tmp_path / path).mkdir()
    with pytest.raises(PluginError, match=f"but a path; type {words}$"):
        plugins.find(group, path)


@pytest.mark.parametrize("given", ["MyEncodr", "myencoder", ""])
def test_a_missing_class_names_one_that_works(tmp_path, given):
    file = tmp_path / "mine.py"
    file.write_text(TOYS.read_text().replace("class ToyEncoder", "class MyEncoder"))
    with pytest.raises(PluginError) as caught:
        plugins.find("encoders", f"{file}:{given}".rstrip(":")).load()
    (advised,) = [word for word in str(caught.value).split() if word.endswith(":MyEncoder")]
    assert plugins.find("encoders", advised).load().__name__ == "MyEncoder"


def test_a_file_without_classes_says_so(tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(PluginError, match=r"defines no class 'X', and no other$"):
        plugins.find("encoders", f"{tmp_path / 'empty.py'}:X").load()


def test_identity_follows_own_imports_and_nothing_else(tmp_path):
    (tmp_path / "helper.py").write_text("x = 1\n")
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text("from .inner import y\nimport numpy\nclass E: pass\n")
    (package / "inner.py").write_text("y = 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        ref = plugins.PluginRef("encoders", "e", "pack.main:E", "lab", "1")
        before = code_sha(ref)
        from harness.storage import identity

        identity._closure_sha.cache_clear()
        (package / "inner.py").write_text("y = 2\n")
        assert code_sha(ref) != before
        identity._closure_sha.cache_clear()
        (package / "inner.py").write_text("y = 1\n")
        assert code_sha(ref) == before
    finally:
        sys.path.remove(str(tmp_path))
        for name in [n for n in sys.modules if n.partition(".")[0] == "pack"]:
            del sys.modules[name]


LAB_CATALOGUE = """
    from harness.backbones.catalogue import family
    from harness.backbones.preprocessing import Preprocessing

    def cropped(side, statistics):
        return Preprocessing((280, side), "bilinear", True, statistics, "the lab's own")

    ROWS = family("-lab", {"clip": 224, "alexnet": 227}, cropped)
"""


def test_a_preprocessing_family_of_a_third_party_is_one_row_of_a_catalogue(installed):
    installed("lab", "[harness.catalogues]\nbackbones = lab_rows:ROWS\n", lab_rows=LAB_CATALOGUE)
    ref = plugins.find("backbones", "clip-lab")
    assert ref.dist == "lab"
    backbone = ref.load()()
    assert (backbone.name, backbone.weights, backbone.layers) == ("clip-lab", "clip", ("image",))
    assert backbone.preprocessing.sides == (280, 224)
    assert code_sha(ref) != code_sha(plugins.find("backbones", "clip-v1"))


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_dependency\nROWS = ()",
        "raise SystemExit(0)",
        "ROWS = 3",
        "from harness.catalogue import plugin\nROWS = [plugin('encodrs', 'x', 'y:Z')]",
    ],
)
def test_a_broken_catalogue_hides_no_other_and_says_so(installed, caplog, source):
    installed("lab", "[harness.catalogues]\nmine = broken_rows:ROWS\n", broken_rows=source)
    assert "ridge" in [ref.name for ref in plugins.available("encoders")]
    assert "the catalogue 'mine' of lab is left out" in caplog.text
