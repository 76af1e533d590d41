"""What a fit depends on: not on parameters that predictions alone read."""

from __future__ import annotations

from commands import HELPERS
from toy_runs import toy_run

from harness.stages.fit import _training_identity
from harness.testing import toy_subject

LOUDER = f"""
import sys
from dataclasses import dataclass, field
sys.path.insert(0, {str(HELPERS)!r})
from toys import ToyEncoder


class Louder(ToyEncoder):
    @dataclass(frozen=True)
    class Params(ToyEncoder.Params):
        gain: float = field(default=1.0, metadata={{"fit": False}})

    def predict(self, *given, **named):
        return self.params.gain * super().predict(*given, **named)
"""


def test_a_parameter_of_predictions_alone_shares_the_fit_and_not_what_is_predicted(tmp_path):
    (tmp_path / "louder.py").write_text(LOUDER)
    encoder, runs = f"{tmp_path / 'louder.py'}:Louder", {}
    for gain in (1.0, 2.0, 1.0):
        values = {
            "encoder": {"gain": gain},
            "run": {"derangements": 2, "metrics": ["voxel-r", "variance-ratio"]},
        }
        folder = tmp_path / f"run-{gain}-{len(runs)}"
        runs[len(runs)] = toy_run(folder, tmp_path / "store", values, encoder=encoder)
    computed = [run.record.computed for run in runs.values()]
    assert [c["fit"][0] for c in computed] == [2, 0, 0]  # with the decoder
    assert [c["encode"][0] > 0 for c in computed] == [True, True, False]
    assert runs[0].record.artifacts["encoder"] == runs[1].record.artifacts["encoder"]

    def spread(run):
        table = run.voxel_scores
        return table[(table["row"] == "predicted") & (table["metric"] == "variance-ratio@1")]["value"].mean()

    assert abs(spread(runs[1]) / spread(runs[0]) - 2) < 1e-3
    assert spread(runs[2]) == spread(runs[0])


def test_a_fit_by_several_processes_is_another_than_that_by_one(monkeypatch):
    """Their averaged gradients end in other weights; alone, nothing is said, so that old keys hold."""
    subject, how = toy_subject("toy01", n_train=8, n_test=2, side=8), {"seed": 0, "device": "cuda:1"}
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = _training_identity([subject], **how)
    assert alone.keys() == {"training", "seed", "device"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _training_identity([subject], **how) == {**alone, "processes": 2}
