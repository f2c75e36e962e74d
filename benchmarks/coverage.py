"""How often 95 % intervals of a mean accuracy hold: betting, t and bootstrap, on recorded trials.

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
from faultbench.results.stats import mean_interval

Ends = tuple[float, float]

N_TRIALS = (30, 100, 300)
N_SAMPLES = 1000
N_RESAMPLES = 400


def betting(x: Trials, _rng: np.random.Generator) -> Ends:
    """Ours."""
    interval = mean_interval(x)
    return interval.low, interval.high


def student(x: Trials, _rng: np.random.Generator) -> Ends:
    """Mean ± t · standard error."""
    half = scipy_stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return x.mean() - half, x.mean() + half


def bootstrap(x: Trials, rng: np.random.Generator) -> Ends:
    """Percentiles of the means of resampled trials."""
    means = x[rng.integers(len(x), size=(N_RESAMPLES, len(x)))].mean(axis=1)
    return tuple(np.quantile(means, [0.025, 0.975]))


METHODS: dict[str, Callable[[Trials, np.random.Generator], Ends]] = {
    "betting": betting,
    "t": student,
    "bootstrap": bootstrap,
}


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


def _rows(distributions: dict[str, Trials]) -> Iterator[dict[str, object]]:
    for name, trials in distributions.items():
        for n_trials in N_TRIALS:
            # A stream a distribution and n: adding others changes none.
            rng = np.random.default_rng([zlib.crc32(name.encode()), n_trials])
            samples = trials[rng.integers(len(trials), size=(N_SAMPLES, n_trials))]
            for method, ends in METHODS.items():
                low, high = np.array([ends(sample, rng) for sample in samples]).T
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
                }


def figure(table: pd.DataFrame) -> Figure:
    """Coverage against how lopsided the distribution is, a panel a number of trials."""
    drawn = Figure(figsize=(2 * COLUMN_IN, 2.4), layout="constrained")
    for axes, n_trials in zip(drawn.subplots(1, len(N_TRIALS), sharey=True), N_TRIALS, strict=True):
        _draw(axes, table[table.n_trials == n_trials])
        axes.set_title(f"{n_trials} trials")
        axes.set_xlabel("|skewness| of the trials")
        if n_trials == N_TRIALS[0]:
            axes.set_ylabel("Intervals that hold (%)")
            axes.legend(loc="lower left", frameon=False, fontsize=SMALL_PT)
    return drawn


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    looks = {"bootstrap": ("s", "#D55E00"), "t": ("x", "#7F4F00"), "betting": ("o", "#0072B2")}
    axes.axhline(95, color=GREY, linewidth=0.6, linestyle="--")
    for method, (marker, colour) in looks.items():
        rows = table[table.method == method]
        look = {"s": 9, "marker": marker, "color": colour, "alpha": 0.6, "linewidths": 0.6, "label": method}
        axes.scatter(rows.skewness.abs(), 100 * rows.coverage, **look)
    axes.set_xscale("log")
    axes.set_ylim(-3, 103)


if __name__ == "__main__":
    main()
