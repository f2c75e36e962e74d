"""Whether an interval still holds when one looks until it is narrow: betting sequences and t-intervals.

python benchmarks/stopping.py OUTCOMES.npz [RESULTS …] [--out docs/benchmarks]

Trials are drawn from recorded ones (see recorded.py) and looked at as a campaign does with
`trials: {max: 1000, min: 30, until: {accuracy_halfwidth: 0.02}}`. Writes stopping.csv. No network is run.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from recorded import Trials, distributions_of
from scipy import stats as scipy_stats

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.results.stats import Interval, mean_interval

RULE = StoppingRule.read({"max": 1000, "min": 30, "until": {"accuracy_halfwidth": 0.02, "confidence": 0.95}})
N_SAMPLES = 300


def sequence(x: Trials) -> Interval:
    """Ours."""
    return mean_interval(x, anytime=True)


def student(x: Trials) -> Interval:
    """Mean ± t · standard error."""
    half = scipy_stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return Interval(x.mean() - half, x.mean() + half)


METHODS: dict[str, Callable[[Trials], Interval]] = {"betting sequence": sequence, "t": student}


def main() -> None:
    """Write the table and print the worst of each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    arguments = parser.parse_args()
    table = pd.DataFrame(_rows(distributions_of(arguments.outcomes, arguments.results)))
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "stopping.csv", index=False, float_format="%.4g", lineterminator="\n")
    print(table.groupby("method")[["coverage", "n_trials_mean", "reached"]].describe().T)


def _rows(distributions: dict[str, Trials]) -> Iterator[dict[str, object]]:
    for name, trials in distributions.items():
        rng = np.random.default_rng([zlib.crc32(name.encode()), 0])
        samples = trials[rng.integers(len(trials), size=(N_SAMPLES, RULE.n_max))]
        for method, interval in METHODS.items():
            ends = [_stopped(sample, interval) for sample in samples]
            yield {
                "distribution": name,
                "mean": trials.mean(),
                "sd": trials.std(),
                "method": method,
                "coverage": np.mean([i.low - 1e-12 <= trials.mean() <= i.high + 1e-12 for _, i in ends]),
                "n_trials_mean": np.mean([n for n, _ in ends]),
                "reached": np.mean([i.half_width <= RULE.until.accuracy_halfwidth for _, i in ends]),
            }


def _stopped(sample: Trials, interval: Callable[[Trials], Interval]) -> tuple[int, Interval]:
    """After how many trials the looking ended, and the interval then."""
    for look in RULE.looks:
        found = interval(sample[:look])
        if found.half_width <= RULE.until.accuracy_halfwidth:
            break
    return look, found


if __name__ == "__main__":
    main()
