"""How often the intervals of rates, of quantiles and of the worst trial hold, on recorded trials.

python benchmarks/tails.py OUTCOMES.npz [RESULTS …] [--out docs/benchmarks]

As benchmarks/coverage.py does for means. Writes tails.csv. No network is run.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from recorded import Trials, critical_rates_of, distributions_of

from faultbench.results.stats import below_worst, mean_interval, quantile_interval

N_TRIALS = (30, 100, 300)
N_SAMPLES = 1000


def rate_holds(rates: Trials, sample: Trials) -> bool:
    """Whether the betting interval holds the mean rate."""
    interval = mean_interval(sample)
    return bool(interval.low - 1e-12 <= rates.mean() <= interval.high + 1e-12)


def quantile_holds(q: float) -> Callable[[Trials, Trials], bool]:
    """Whether the interval of order statistics holds the q-quantile."""

    def holds(accuracies: Trials, sample: Trials) -> bool:
        interval = quantile_interval(sample, q)
        return bool(interval.low <= np.quantile(accuracies, q, method="inverted_cdf") <= interval.high)

    return holds


def worst_holds(accuracies: Trials, sample: Trials) -> bool:
    """Whether no more trials than said are worse than the worst of the sample."""
    return bool((accuracies < sample.min()).mean() <= below_worst(len(sample)))


def main() -> None:
    """Write the table and print the worst of each statistic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    arguments = parser.parse_args()
    accuracies = distributions_of(arguments.outcomes, arguments.results)
    rows = [
        *_rows("sdc_critical_rate", rate_holds, critical_rates_of(arguments.outcomes, arguments.results)),
        *_rows("accuracy_median", quantile_holds(0.5), accuracies),
        *_rows("accuracy_q05", quantile_holds(0.05), accuracies),
        *_rows("below_min", worst_holds, accuracies),
    ]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out / "tails.csv", index=False, float_format="%.4g", lineterminator="\n")
    print(table.groupby(["statistic", "n_trials"]).coverage.min())


def _rows(
    statistic: str, holds: Callable[[Trials, Trials], bool], distributions: dict[str, Trials]
) -> Iterator[dict[str, object]]:
    for name, trials in distributions.items():
        for n_trials in N_TRIALS:
            rng = np.random.default_rng([zlib.crc32(f"{statistic}|{name}".encode()), n_trials])
            samples = trials[rng.integers(len(trials), size=(N_SAMPLES, n_trials))]
            coverage = np.mean([holds(trials, sample) for sample in samples])
            yield {"distribution": name, "statistic": statistic, "n_trials": n_trials, "coverage": coverage}


if __name__ == "__main__":
    main()
