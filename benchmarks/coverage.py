"""How often 95 % intervals of a mean accuracy hold and how wide they are, on recorded trials, by five methods.

python benchmarks/coverage.py OUTCOMES.npz [RESULTS …] [--out docs/benchmarks]

Each recorded set of trials stands for a distribution whose mean is then known (see recorded.py). Writes
coverage.csv and coverage.png. No network is run.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from recorded import Trials, distributions_of
from scipy import stats as scipy_stats

from faultbench.output.plots.style import COLUMN_IN, SMALL_PT, styled
from faultbench.output.scheme_styles import GREY
from faultbench.results.stats import mean_intervals

Ends = tuple[Trials, Trials]
"""Lower and upper ends of the intervals of several samples."""

N_TRIALS = (30, 100, 300, 1000)
N_SAMPLES = 1000
N_RESAMPLES = 400
N_SCANNED = 100
"""Samples whose intervals by STaR are computed: its bets have no order in the mean, and all means are scanned."""


def betting(samples: Trials, _rng: np.random.Generator) -> Ends:
    """Ours."""
    intervals = mean_intervals(list(samples))
    return np.array([each.low for each in intervals]), np.array([each.high for each in intervals])


def growth(samples: Trials, _rng: np.random.Generator) -> Ends:
    """Hedged capital (arXiv 2010.09686) with bets that grow best towards n trials, ours until 2026-11."""
    ends = [(_growth_end(sample), 1 - _growth_end(1 - sample)) for sample in samples]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def star(samples: Trials, _rng: np.random.Generator) -> Ends:
    """STaR-Bets (arXiv 2505.22422), a tenth of the upper side's capital at the cap."""
    means = np.arange(1, 1000) / 1000
    ends = [(_star_end(x, means, 0.0), 1 - _star_end(1 - x, means, 0.1)) for x in samples[:N_SCANNED]]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def student(samples: Trials, _rng: np.random.Generator) -> Ends:
    """Mean ± t · standard error."""
    n_trials = samples.shape[1]
    half = scipy_stats.t.ppf(0.975, n_trials - 1) * samples.std(axis=1, ddof=1) / np.sqrt(n_trials)
    return samples.mean(axis=1) - half, samples.mean(axis=1) + half


def bootstrap(samples: Trials, rng: np.random.Generator) -> Ends:
    """Percentiles of the means of resampled trials."""
    n_trials = samples.shape[1]
    resampled = [x[rng.integers(n_trials, size=(N_RESAMPLES, n_trials))].mean(axis=1) for x in samples]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    return low, high


METHODS: dict[str, Callable[[Trials, np.random.Generator], Ends]] = {
    "betting": betting,
    "growth": growth,
    "STaR": star,
    "t": student,
    "bootstrap": bootstrap,
}


def _growth_end(x: Trials) -> float:
    n_seen = np.arange(2, len(x) + 2)
    means = (0.5 + np.cumsum(x)) / n_seen
    variances = np.concatenate(([0.25], ((0.25 + np.cumsum((x - means) ** 2)) / n_seen)[:-1]))
    bets = np.sqrt(2 * np.log(40) / (len(x) * variances))
    rejected, kept = 0.0, 1.0
    while kept - rejected > 1e-6:
        m = (rejected + kept) / 2
        is_rejected = np.log1p(np.minimum(bets, 0.95 / m) * (x - m)).cumsum().max() >= np.log(40)
        rejected, kept = (m, kept) if is_rejected else (rejected, m)
    return rejected


def _star_end(x: Trials, means: Trials, at_cap: float) -> float:
    """The mean below the first one of a grid that is not rejected."""
    n_seen = np.arange(2, len(x) + 2)
    running = (0.5 + np.cumsum(x)) / n_seen
    variances = np.concatenate(([0.25], ((0.25 + np.cumsum((x - running) ** 2)) / n_seen)[:-1]))
    capital, capped, is_rejected = np.full(len(means), 1 - at_cap), np.full(len(means), at_cap), means < 0
    for i, (value, variance) in enumerate(zip(x, variances, strict=True)):
        left = np.maximum(0, np.log(40 / np.maximum(capital, 1e-300))) / ((len(x) - i) * variance)
        capital = np.minimum(1e9, capital * (1 + np.minimum(np.sqrt(2 * left), 0.99 / means) * (value - means)))
        capped = np.minimum(1e9, capped * (1 + 0.99 / means * (value - means)))
        is_rejected |= capital + capped >= 40
    return float(means[np.argmin(is_rejected)]) - 0.001 if not is_rejected.all() else float(means[-1])


def main() -> None:
    """Write the table and the figure, and print the worst of each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    arguments = parser.parse_args()
    table = pd.DataFrame(_rows(distributions_of(arguments.outcomes, arguments.results)))
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "coverage.csv", index=False, float_format="%.4g", lineterminator="\n")
    with styled():
        figure(table).savefig(arguments.out / "coverage.png", dpi=200)
    print(table.groupby(["method", "n_trials"]).coverage.describe()[["min", "25%", "50%"]])
    print(table.groupby(["method", "n_trials"]).to_growth.describe()[["min", "50%", "max"]])


def _rows(distributions: dict[str, Trials]) -> Iterator[dict[str, object]]:
    for name, trials in distributions.items():
        for n_trials in N_TRIALS:
            # A stream a distribution and n: adding others changes none.
            rng = np.random.default_rng([zlib.crc32(name.encode()), n_trials])
            samples = trials[rng.integers(len(trials), size=(N_SAMPLES, n_trials))]
            found = {method: ends(samples, rng) for method, ends in METHODS.items()}
            for method, (low, high) in found.items():
                by_growth = (found["growth"][1] - found["growth"][0])[: len(low)]
                yield {
                    "distribution": name,
                    "mean": trials.mean(),
                    "sd": trials.std(),
                    "skewness": scipy_stats.skew(trials) if trials.std() > 0 else 0.0,
                    "n_trials": n_trials,
                    "method": method,
                    # A mean is rounded by 1e-16 and an interval of equal trials has no width.
                    "coverage": ((low <= trials.mean() + 1e-12) & (trials.mean() - 1e-12 <= high)).mean(),
                    "half_width": (high - low).mean() / 2,
                    "to_growth": (high - low).mean() / by_growth.mean(),
                }


def figure(table: pd.DataFrame) -> Figure:
    """Coverage against how lopsided the distribution is, a panel a number of trials."""
    drawn = Figure(figsize=(2 * COLUMN_IN, 2.2), layout="constrained")
    for axes, n_trials in zip(drawn.subplots(1, len(N_TRIALS), sharey=True), N_TRIALS, strict=True):
        _draw(axes, table[table.n_trials == n_trials])
        axes.set_title(f"{n_trials} trials")
        axes.set_xlabel("|skewness| of the trials")
        if n_trials == N_TRIALS[0]:
            axes.set_ylabel("Intervals that hold (%)")
            axes.legend(loc="lower left", frameon=False, fontsize=SMALL_PT)
    return drawn


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    looks = {"bootstrap": ("s", "#D55E00"), "t": ("x", "#7F4F00"), "betting": ("o", "#0072B2")}  # the others hold too
    axes.axhline(95, color=GREY, linewidth=0.6, linestyle="--")
    for method, (marker, colour) in looks.items():
        rows = table[table.method == method]
        look = {"s": 9, "marker": marker, "color": colour, "alpha": 0.6, "linewidths": 0.6, "label": method}
        axes.scatter(rows.skewness.abs().clip(lower=0.01), 100 * rows.coverage, **look)
    axes.set_xscale("log")
    axes.set_ylim(-3, 103)


if __name__ == "__main__":
    main()
