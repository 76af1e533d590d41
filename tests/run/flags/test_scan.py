"""The scan for blocks that slipped: what it finds, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from harness.run.flags.scan import FALSE_ALARMS, block_near_chance


def test_the_scan_keeps_its_rate_of_false_alarms():
    """Hard and easy images in no order, in sessions, at three sizes: as rare as is said, and rarer."""
    rng, alarms = np.random.default_rng(0), 0
    for n in (20, 60, 150):
        for _ in range(60):
            ease = rng.beta(2, 1, n)
            rates = rng.beta(1 + 8 * ease, 1)
            alarms += block_near_chance(rates, sessions=np.arange(n) // 10) is not None
    assert alarms <= 180 * FALSE_ALARMS + 3 * np.sqrt(180 * FALSE_ALARMS)


@pytest.mark.parametrize(("n", "block"), [(40, slice(5, 20)), (150, slice(60, 90))])
def test_the_scan_finds_a_block_and_a_session(n, block):
    rng = np.random.default_rng(1)
    rates = rng.beta(20, 1, n)
    rates[block] = rng.uniform(size=block.stop - block.start)
    lost_block = block_near_chance(rates, scans=3)
    assert len(set(lost_block.positions) & set(range(n)[block])) > 0.6 * (block.stop - block.start)
    assert lost_block.rest > 0.9
    # Scattered over the run, but all of one session.
    sessions = np.arange(n) % 4
    scattered = rng.beta(20, 1, n)
    scattered[sessions == 2] = rng.uniform(size=(sessions == 2).sum())
    assert block_near_chance(scattered) is None
    assert block_near_chance(scattered, sessions=sessions).positions.tolist() == list(range(2, n, 4))
    assert block_near_chance(rng.uniform(size=n)) is None  # nothing is above chance
