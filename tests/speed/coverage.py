"""What the 95 % intervals cover, by simulation, beside percentiles of a bootstrap and Student's t.

    python tests/speed/coverage.py

Rows are kinds of values, columns numbers of images; each cell is the share, in percent, of simulated test
sets whose interval holds the true mean.  A star marks cells in which at least half of the intervals say
themselves that they may cover less than 90 % (`Interval.doubt`); the last number is the coverage of the
others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from harness.metrics.identification import two_way_with_rivalry
from harness.statistics import mean_interval

SETS, DRAWS = 400, 400
IMAGES = (2, 5, 12, 30, 100)

Sample = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""Generator and number of images -> values and rivalry (N,)."""


def independent(draw: Callable[[np.random.Generator, int], np.ndarray]) -> Sample:
    return lambda generator, n: (np.asarray(draw(generator, n), float), np.zeros(n))


def identified(noise: float, spread: float) -> Sample:
    """Win rates of reconstructions whose noise varies between images, with their rivalry."""

    def sample(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        target = generator.standard_normal((n, 20))
        size = noise * np.exp(spread * generator.standard_normal((n, 1)))
        values, rivalry = two_way_with_rivalry(target + size * generator.standard_normal((n, 20)), target)
        return values, rivalry

    return sample


KINDS: dict[str, tuple[Sample, float | None, tuple[float, float] | None]] = {
    "normal": (independent(lambda g, n: g.standard_normal(n)), 0.0, None),
    "exponential": (independent(lambda g, n: g.exponential(size=n)), 1.0, None),
    "lognormal": (independent(lambda g, n: g.lognormal(0, 1, n)), float(np.exp(0.5)), None),
    "bounded, mean .93": (independent(lambda g, n: g.beta(4, 0.3, n)), 4 / 4.3, (0.0, 1.0)),
    "bounded, mean .98": (independent(lambda g, n: g.beta(5, 0.1, n)), 5 / 5.1, (0.0, 1.0)),
    "hits, .9": (independent(lambda g, n: g.random(n) < 0.9), 0.9, (0.0, 1.0)),
    "win rates, .91": (identified(2.0, 0.5), None, (0.0, 1.0)),
    "win rates, .98": (identified(1.0, 0.5), None, (0.0, 1.0)),
}


def percentiles(
    values: np.ndarray, rivalry: np.ndarray, generator: np.random.Generator
) -> tuple[float, float]:
    drawn = generator.integers(0, len(values), (DRAWS, len(values)))
    low, high = np.percentile((values + rivalry)[drawn].mean(axis=1), [2.5, 97.5])
    return low, high


def students(values: np.ndarray, rivalry: np.ndarray) -> tuple[float, float]:
    n = len(values)
    reach = stats.t.ppf(0.975, n - 1) * (values + rivalry).std(ddof=1) / np.sqrt(n)
    return values.mean() - reach, values.mean() + reach


def cell(kind: str, n: int, truth: float) -> str:
    sample, _, limits = KINDS[kind]
    generator = np.random.default_rng([n, len(kind)])
    hits = {"bootstrap": 0, "t": 0, "ours": 0, "sure": 0}
    sure = 0
    for _ in range(SETS):
        values, rivalry = sample(generator, n)
        interval = mean_interval(values, rivalry=rivalry, limits=limits)
        bounds = {
            "bootstrap": percentiles(values, rivalry, generator),
            "t": students(values, rivalry),
            "ours": (interval.low, interval.high),
        }
        held = {name: low - 1e-9 <= truth <= high + 1e-9 for name, (low, high) in bounds.items()}
        for name, holds in held.items():
            hits[name] += holds
        if not interval.doubt:
            sure += 1
            hits["sure"] += held["ours"]
    shares = " ".join(f"{100 * hits[name] / SETS:4.0f}" for name in ("bootstrap", "t", "ours"))
    mark = "*" if sure <= SETS / 2 else " "
    rest = f"{100 * hits['sure'] / sure:4.0f}" if sure else "   -"
    return f"{shares}{mark}{rest}"


def main() -> None:
    print(f"{'':<18}" + "".join(f"{f'n = {n}':>24}" for n in IMAGES))
    print(f"{'':<18}" + "".join(f"{'boot    t ours   sure':>24}" for _ in IMAGES))
    for kind, (sample, truth, _) in KINDS.items():
        if truth is None:
            generator = np.random.default_rng(0)
            truth = float(np.mean([sample(generator, 60)[0].mean() for _ in range(500)]))
        print(f"{kind:<18}" + "".join(f"{cell(kind, n, truth):>24}" for n in IMAGES), flush=True)


if __name__ == "__main__":
    main()
