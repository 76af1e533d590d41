"""Branches of a fitted encoder: each is predicted with the weights of the run and correlated by voxel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from commands import HELPERS
from toy_runs import toy_run

from harness.cli.branches import branches
from harness.errors import ConfigError, PluginError
from harness.plugins import find
from harness.run.branches import branch_values

HALVES = f"""
import sys
from dataclasses import dataclass, field
from typing import Literal
import numpy as np
sys.path.insert(0, {str(HELPERS)!r})
from toys import ToyEncoder


class Halves(ToyEncoder):
    '''Two parts, each of which knows the voxels of one half and draws the others.'''

    branches = "part"

    @dataclass(frozen=True)
    class Params(ToyEncoder.Params):
        part: Literal["front", "both", "back", "no"] = field(default="both", metadata={{"fit": False}})

        def __post_init__(self):
            if self.part == "no":
                from harness.api import ConfigError
                raise ConfigError("this encoder has no such part")

    def predict(self, stimuli, features, *, space, seeds):
        out = super().predict(stimuli, features, space=space, seeds=seeds)
        half = np.arange(space.n_voxels) < space.n_voxels // 2
        lost = {{"front": ~half, "back": half, "both": half & ~half}}[self.params.part]
        noise = [np.random.default_rng(int(s)).standard_normal(space.n_voxels) for s in seeds[:, 0]]
        out[:, :, lost] = np.array(noise)[:, None, lost]
        return out


class Fitted(Halves):
    '''Its parts are read by the fit, which no branch may be.'''

    @dataclass(frozen=True)
    class Params(ToyEncoder.Params):
        part: Literal["front", "both"] = "both"
"""


def called(place, run, *words):
    """What the command prints, and its tables; its error is raised."""
    given = [place / run, "--store", place / "store", *words]
    done = CliRunner().invoke(branches, [str(word) for word in given])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    folder = place / run / "branches"
    return done.output, *(pd.read_csv(folder / f"{name}.csv") for name in ("regions", "voxels"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store and two runs, of known halves and of ridge."""
    folder = tmp_path_factory.mktemp("branches")
    (folder / "halves.py").write_text(HALVES)
    values = {"run": {"metrics": ["voxel-r"]}, "benchmark": {"n_test": 40}}
    for name, encoder in {"halves": f"{folder / 'halves.py'}:Halves", "ridge": "ridge"}.items():
        toy_run(folder / name, folder / "store", values, encoder=encoder, decoder=None)
    return folder


def test_each_branch_knows_its_voxels_and_no_others(place):
    output, regions, voxels = called(place, "halves", "--own-code")
    assert list(voxels.columns) == ["voxel", "both", "front", "back"]
    front = voxels["voxel"] < 20
    assert voxels[front]["front"].mean() > 0.5
    assert voxels[~front]["back"].mean() > 0.5
    assert abs(voxels[~front]["front"].mean()) < 0.15
    assert abs(voxels[front]["back"].mean()) < 0.15
    assert np.allclose(voxels[front]["both"], voxels[front]["front"])
    (line,) = regions[regions["kind"] == "all"].to_dict("records")
    assert line["voxels"] == 40
    assert line["front"] == pytest.approx(voxels["front"].mean())
    assert "simulated" in output
    assert "left out: part=no: this encoder has no such part" in output
    assert "no maps" in output  # the toy's voxels have no places


def test_maps_are_drawn_where_places_are_known(place):
    file = place / "halves" / "voxel_places.parquet"
    voxel = np.arange(40)
    places = {"voxel": voxel, "x": voxel % 8, "y": voxel // 8, "z": np.nan, "vertex": -1, "template": ""}
    pd.DataFrame(places).astype({"x": float, "y": float}).to_parquet(file, index=False)
    try:
        output, *_ = called(place, "halves", "--own-code", "--less", "front", "back")
    finally:
        file.unlink()
    assert "no maps" not in output
    maps = {path.name for path in (place / "halves" / "branches").glob("*.png")}
    assert maps == {
        *(f"voxel-r-{name}.png" for name in ("both", "front", "back")),
        *("front-less-both.png", "back-less-both.png", "front-less-back.png"),
    }


def test_what_has_no_branches_is_refused_in_a_line(place):
    with pytest.raises(ConfigError, match="encoder 'ridge' has no parts that it could be asked for alone"):
        called(place, "ridge")
    with pytest.raises(ConfigError, match="--less sideways: its branches are both, front, back, no"):
        called(place, "halves", "--own-code", "--less", "front", "sideways")
    with pytest.raises(PluginError, match="that no fit reads"):
        branch_values(find("encoders", f"{place / 'halves.py'}:Fitted"))
