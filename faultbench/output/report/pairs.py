"""Schemes compared trial by trial.

Under `bernoulli` and `toolbox` trial k meets the same flips in the weights whatever the scheme, which makes the
differences small; what follows holds under any fault model. For schemes A and B with the accuracies a_k and b_k in
trial k, the differences d_k = a_k - b_k lie in -1..1 and are independent draws over k, and the interval of
`stats.difference` holds for their mean, whatever the distribution. All pairs of a matrix are looked at together:
each interval has the confidence 1 - 0.05/n of n pairs (Bonferroni), and with 95 % all of them hold at once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from faultbench.results import stats
from faultbench.results.analysis.blocks import Block, blocks, images_text, shared_count
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, ber_text

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
    """Block → a matrix a BER, in rising order; none of a block with fewer than two or more than MAX_SCHEMES lines.

    Nor is there one of a BER whose trials were all drawn in strata: these are no draws of a memory.
    """
    accuracies = _accuracies(results)
    found: dict[str, list[Matrix]] = {}
    for block in blocks(results):
        if 2 <= len(block.lines) <= MAX_SCHEMES:
            cells = pd.concat([line.cells for line in block.lines])
            networks = {line.label: tuple(line.cells[[*LABELS]].iloc[0]) for line in block.lines}
            by_line = {ber: _by_line(networks, accuracies, ber) for ber in sorted({*cells.ber})}
            found[block.name] = [
                _matrix(block, ber, of_lines)
                for ber, of_lines in by_line.items()
                if any(map(len, of_lines.values())) or not cells[cells.ber == ber].trials.any()
            ]
    return found


def difference(first: pd.Series, second: pd.Series, *, confidence: float) -> Difference | None:
    """First minus second over the trial numbers of both; each is an accuracy by number."""
    numbers, *places = np.intersect1d(first.index, second.index, assume_unique=True, return_indices=True)
    if not len(numbers):
        return None
    row, column = (series.to_numpy()[place] for series, place in zip((first, second), places, strict=True))
    found = stats.difference(column, row, confidence=confidence)
    return Difference(100 * found.mean, 100 * found.interval.low, 100 * found.interval.high, len(numbers))


def _accuracies(results: Results) -> dict[tuple[Any, ...], pd.Series]:
    """Labels and BER → of every cell that has plain trials their accuracies by number."""
    plain = results.trials[results.trials.stratum.isna()].set_index("trial")
    by_cell = dict(list(plain.groupby("cell", sort=False).accuracy))
    entries = results.manifest.cells
    return {(*entry.labels, entry.ber): by_cell[entry.cell] for entry in entries if entry.cell in by_cell}


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


def _by_line(
    networks: Mapping[str, tuple[str, ...]], accuracies: Mapping[tuple[Any, ...], pd.Series], ber: float
) -> dict[str, pd.Series]:
    nothing = pd.Series(dtype=np.float64)
    return {label: accuracies.get((*network, ber), nothing) for label, network in networks.items()}


def _signed(points: float) -> str:
    text = f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text
