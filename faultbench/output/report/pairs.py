"""Matrices that compare schemes trial by trial.

Under `bernoulli` and `toolbox` trial k meets the same flips in the weights under every scheme, which makes the
differences vary little; the rest holds under any fault model. For schemes A and B with the accuracies a_k and b_k in
trial k, the differences d_k = a_k - b_k lie in -1..1 and are independent draws over k. The interval of
`stats.mean_difference` holds for their mean, whatever the distribution. Each interval of a matrix of n pairs has the
confidence 1 - 0.05/n (Bonferroni), so all of them hold together with 95 %.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from faultbench.output.captions import images_text, shared_count
from faultbench.results import stats
from faultbench.results.analysis.blocks import Block, blocks
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, ber_text

MAX_SCHEMES = 16
"""Most schemes of a matrix: a larger one is hard to read, and its intervals are wide."""


@dataclass(frozen=True)
class PairDifference:
    """Difference row minus column in points of accuracy, with the ends of its interval."""

    mean: float
    low: float
    high: float
    n_trials: int

    @property
    def sign(self) -> int:
        """Return 1 or -1, or 0 if the interval holds 0."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def texts(self) -> tuple[str, str, str]:
        """Return mean, low and high to one decimal, the ends rounded outwards."""
        return _signed(self.mean), _signed(math.floor(10 * self.low) / 10), _signed(math.ceil(10 * self.high) / 10)

    @property
    def turned(self) -> "PairDifference":
        """Return the difference column minus row."""
        return PairDifference(-self.mean, -self.high, -self.low, self.n_trials)


@dataclass(frozen=True)
class Matrix:
    """Differences of all pairs of a block at one BER; a cell is None on the diagonal and without common trials.

    n_trials and n_images are counts of compared trials per pair and of images per trial, as captions have them;
    confidence is that of a single interval, in per cent.
    """

    block: str
    ber: str
    labels: tuple[str, ...]
    cells: tuple[tuple[PairDifference | None, ...], ...]
    n_trials: str
    n_images: str
    confidence: str


def matrices(results: Results) -> dict[str, list[Matrix]]:
    """Return block → a matrix per BER, in rising order; none for a block with fewer than 2 or over MAX_SCHEMES lines.

    A BER has no matrix if all its trials were drawn in strata, since these are no fair sample of memories.
    """
    accuracies = _accuracies(results)
    of_blocks: dict[str, list[Matrix]] = {}
    for block in blocks(results):
        if 2 <= len(block.lines) <= MAX_SCHEMES:
            cells = pd.concat([line.cells for line in block.lines])
            networks = {line.label: tuple(line.cells[[*LABELS]].iloc[0]) for line in block.lines}
            by_line = {ber: _by_line(networks, accuracies, ber) for ber in sorted({*cells.ber})}
            of_blocks[block.name] = [
                _matrix(block, ber, of_lines, anytime=results.manifest.rule.is_sequence)
                for ber, of_lines in by_line.items()
                if any(map(len, of_lines.values())) or not cells[cells.ber == ber].trials.any()
            ]
    return of_blocks


def pair_differences(
    pairs: Sequence[tuple[pd.Series, pd.Series]], *, confidence: float, anytime: bool = False
) -> list[PairDifference | None]:
    """Return first minus second over the common trial numbers of each pair of series of accuracies by number.

    It is None without a common number. anytime is as for `stats.mean_interval`.
    """
    shared = [_shared(first, second) for first, second in pairs]
    found = iter(
        stats.mean_differences([each for each in shared if len(each.first)], confidence=confidence, anytime=anytime)
    )
    return [_in_points(next(found), len(each.first)) if len(each.first) else None for each in shared]


def _shared(first: pd.Series, second: pd.Series) -> stats.Pairs:
    """Return the accuracies of the common trial numbers, in an order that gives first minus second."""
    _, *places = np.intersect1d(first.index, second.index, assume_unique=True, return_indices=True)
    row, column = (series.to_numpy()[place] for series, place in zip((first, second), places, strict=True))
    return stats.Pairs(column, row)


def _in_points(difference: stats.MeanDifference, n_trials: int) -> PairDifference:
    low, high = difference.interval.low, difference.interval.high
    return PairDifference(100 * difference.mean, 100 * low, 100 * high, n_trials)


def _accuracies(results: Results) -> dict[tuple[Any, ...], pd.Series]:
    """Return labels and BER → accuracies by trial number, for every cell with plain trials."""
    plain = results.trials[results.trials.stratum.isna()].set_index("trial")
    by_cell = dict(list(plain.groupby("cell", sort=False).accuracy))
    entries = results.manifest.cells
    return {(*entry.labels, entry.ber): by_cell[entry.cell] for entry in entries if entry.cell in by_cell}


def _matrix(block: Block, ber: float, accuracies: Mapping[str, pd.Series], *, anytime: bool) -> Matrix:
    labels = [line.label for line in block.lines]
    confidence = 1 - (1 - stats.CONFIDENCE) / math.comb(len(labels), 2)
    pairs = dict(_both_ways(labels, accuracies, confidence, anytime=anytime))
    cells = tuple(tuple(pairs.get((row, column)) for column in labels) for row in labels)
    n_trials = shared_count(pair.n_trials if pair else 0 for pair in pairs.values())
    n_images = images_text(pd.concat([line.cells for line in block.lines]))
    return Matrix(block.name, ber_text(ber), tuple(labels), cells, n_trials, n_images, f"{100 * confidence:.4g}")


def _both_ways(
    labels: Sequence[str], accuracies: Mapping[str, pd.Series], confidence: float, *, anytime: bool
) -> Iterator[tuple[tuple[str, str], PairDifference | None]]:
    two = list(combinations(labels, 2))
    series = [(accuracies[row], accuracies[column]) for row, column in two]
    differences = pair_differences(series, confidence=confidence, anytime=anytime)
    for (row, column), pair in zip(two, differences, strict=True):
        yield (row, column), pair
        yield (column, row), pair and pair.turned


def _by_line(
    networks: Mapping[str, tuple[str, ...]], accuracies: Mapping[tuple[Any, ...], pd.Series], ber: float
) -> dict[str, pd.Series]:
    nothing = pd.Series(dtype=np.float64)
    return {label: accuracies.get((*network, ber), nothing) for label, network in networks.items()}


def _signed(points: float) -> str:
    text = f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text
