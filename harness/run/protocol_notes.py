"""What a finished run has to say about the protocol that it was asked to follow."""

from __future__ import annotations

from ..plugins import PluginRef
from ..run_record import ProtocolRecord
from .outcome import Outcome
from .protocols import RunFacts, differences, protocol_named


def protocol_notes(outcome: Outcome) -> ProtocolRecord | None:
    """The protocol asked for as ``run.json`` holds it, and in what this run is not it; None without one."""
    plan, stimuli = outcome.plan, outcome.data.test.stimuli
    protocol = protocol_named(plan.settings.protocol)
    if protocol is None:
        return None
    lost = {f.metric.partition("@")[0] for f in outcome.scored.failures} | {
        name for name, _ in outcome.scored.left_out
    }
    facts = RunFacts(
        test_images=len(stimuli),
        stimulus_size=stimuli.images(stimuli.ids[:1]).shape[1:3],
        units=outcome.data.space.units,
        average=plan.decoder.load().repeats if isinstance(plan.decoder, PluginRef) else "",
        blended=outcome.blended,
        scored=tuple(m.ref.name for m in plan.metrics if m.ref.name not in lost),
    )
    return ProtocolRecord(
        name=protocol.name,
        title=protocol.title,
        source=protocol.source,
        differs=tuple(differences(protocol, facts)),
    )
