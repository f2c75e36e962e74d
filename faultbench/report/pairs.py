"""Schemes compared trial by trial.

Under `bernoulli` and `toolbox` trial k meets the same flips in the weights whatever the scheme, which makes the
differences small; what follows holds under any fault model. For schemes A and B with the accuracies a_k and b_k in
trial k, the differences d_k = a_k - b_k lie in -1..1 and are independent draws over k; (d_k + 1)/2 lies in 0..1, so
`stats.mean_interval` holds for its mean, whatever the distribution. All pairs of a matrix are looked at together:
each interval has the confidence 1 - 0.05/n of n pairs (Bonferroni), and with 95 % all of them hold at once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from faultbench import stats
from faultbench.blocks import Block, blocks, by_block, images_text, shared_count
from faultbench.results_folder import ber_text
from faultbench.tables import Results

MAX_SCHEMES = 16
"""Of a matrix; with more of them nobody reads it, and its intervals say little."""


@dataclass(frozen=True)
class Difference:
    """Row minus column in points of accuracy, with the ends of its interval."""

    mean: float
    low: float
    high: float
    n_trials: int

    @property
    def sign(self) -> int:
        """0 where the interval holds 0."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def texts(self) -> tuple[str, str, str]:
        """Mean, low and high to one decimal, the ends rounded outwards."""
        return _signed(self.mean), _signed(math.floor(10 * self.low) / 10), _signed(math.ceil(10 * self.high) / 10)

    @property
    def turned(self) -> "Difference":
        """Column minus row."""
        return Difference(-self.mean, -self.high, -self.low, self.n_trials)


@dataclass(frozen=True)
class Matrix:
    """All pairs of a block at one BER; a cell is None on the diagonal and where no trial is recorded of both."""

    block: str
    ber: str
    labels: tuple[str, ...]
    cells: tuple[tuple[Difference | None, ...], ...]
    n_trials: str
    """Compared of each pair, as captions say it."""
    n_images: str
    """Of a trial."""
    confidence: str
    """Of a single interval, in per cent."""


def matrices(results: Results) -> dict[str, list[Matrix]]:
    """Block → a matrix a BER, in rising order; none of a block with fewer than two or more than MAX_SCHEMES lines."""
    found: dict[str, list[Matrix]] = {}
    for block, part in zip(blocks(results), by_block(results).values(), strict=True):
        if 2 <= len(block.lines) <= MAX_SCHEMES:
            accuracies = part.trials[part.trials.stratum.isna()]  # others are no draws of a memory
            found[block.name] = [
                _matrix(block, ber, _by_line(block, accuracies[accuracies.ber == ber]))
                for ber in sorted(set(part.cells.ber) - _only_in_strata(part.trials))
            ]
    return found


def difference(first: pd.Series, second: pd.Series, *, confidence: float) -> Difference | None:
    """First minus second over the trial numbers of both; each is an accuracy by number, numbers rising."""
    both = pd.concat([first, second], axis=1, join="inner", keys=["first", "second"]).sort_index()
    if both.empty:
        return None
    halves = (both["first"] - both["second"] + 1).to_numpy() / 2
    interval = stats.mean_interval(halves.clip(0, 1), confidence=confidence)
    low, mean, high = (100 * (2 * share - 1) for share in (interval.low, stats.mean(halves), interval.high))
    return Difference(mean, low, high, len(both))


def _only_in_strata(trials: pd.DataFrame) -> set[float]:
    """BERs at which no scheme has a plain trial, but some have others."""
    return set(trials.ber) - set(trials[trials.stratum.isna()].ber)


def _matrix(block: Block, ber: float, accuracies: Mapping[str, pd.Series]) -> Matrix:
    labels = [line.label for line in block.lines]
    confidence = 1 - (1 - stats.CONFIDENCE) / math.comb(len(labels), 2)
    found = dict(_both_ways(labels, accuracies, confidence))
    cells = tuple(tuple(found.get((row, column)) for column in labels) for row in labels)
    n_trials = shared_count(pd.Series([there.n_trials if there else 0 for there in found.values()]))
    n_images = images_text(pd.concat([line.cells for line in block.lines]))
    return Matrix(block.name, ber_text(ber), tuple(labels), cells, n_trials, n_images, f"{100 * confidence:.4g}")


def _both_ways(
    labels: Sequence[str], accuracies: Mapping[str, pd.Series], confidence: float
) -> Iterator[tuple[tuple[str, str], Difference | None]]:
    for row, column in combinations(labels, 2):
        there = difference(accuracies[row], accuracies[column], confidence=confidence)
        yield (row, column), there
        yield (column, row), there and there.turned


def _by_line(block: Block, accuracies: pd.DataFrame) -> dict[str, pd.Series]:
    def of(scheme: str, guard: str) -> pd.Series:
        chosen = accuracies[(accuracies.scheme == scheme) & (accuracies.guard == guard)]
        return chosen.set_index("trial").accuracy

    return {line.label: of(line.scheme, line.guard) for line in block.lines}


def _signed(points: float) -> str:
    text = f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text
