"""The table that most readers came for: accuracy at each BER with its interval, and what each scheme costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from faultbench.output.export.accuracy_table import UNKNOWN, Entry, Row, Style, marked, percent, rows
from faultbench.results.analysis.blocks import Block, Line, blocks, overhead_text, ratio_texts
from faultbench.results.analysis.critical_ber import critical_text
from faultbench.results.analysis.data_frames import NETWORK
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, ber_text, varying

DROP, PROBABILITY = 0.05, 0.9
"""Of the critical BERs shown."""

_CRITICAL = (
    f"Critical BER: the largest tried up to which {100 * PROBABILITY:g} % of the trials stay less than "
    f"{100 * DROP:g} points below golden, with its interval."
)

Rows = dict[Any, Any]
"""Labels → a row of a table."""


@dataclass(frozen=True)
class Place:
    """What names a network of the table: the value of every label that is not the same everywhere."""

    names: tuple[str, ...]
    line: str
    """The scheme and its guard."""


@dataclass(frozen=True)
class Figure:
    """A number of the table: its text, what it sorts by, and an interval or another small print."""

    text: str
    value: float
    small: str = ""


@dataclass(frozen=True)
class HeadlineRow:
    """A protected network of the table; entries a BER, None where the grid has no cell."""

    place: Place
    golden: Figure
    entries: tuple[tuple[Entry, float] | None, ...]
    """Each with the mean to sort by, NaN if unknown."""
    resilience: Figure
    critical: Figure | None
    memory: Figure
    latency: Figure


@dataclass(frozen=True)
class Headline:
    """The table: which labels name its rows, the BERs as text, and the rows in the order of the campaign."""

    names: tuple[str, ...]
    bers: tuple[str, ...]
    rows: tuple[HeadlineRow, ...]
    asked: str
    """The trials that a LIMITED cell falls short of, as in "fewer trials than …"."""
    limited_of: str
    """What follows the number of trials of a LIMITED cell."""
    critical: str
    """What the critical BERs say; empty where the results have none."""


def headline(results: Results) -> Headline:
    """Of all blocks; the best protected network of a block is marked at each BER."""
    names = tuple(name for name in varying(results.manifest.cells) if name not in ("scheme", "guard"))
    bers = sorted(set(results.cells.ber))
    costs = _by_labels(results.overhead, NETWORK)
    areas = _by_labels(results.resilience, LABELS)
    critical = _critical_bers(results)
    found = [
        _row(row, line, names, costs, areas, critical)
        for block in blocks(results)
        for row, line in zip(_printed(block, results), block.lines, strict=True)
    ]
    rule = results.manifest.rule
    n_asked = f"{rule.n_max:,}"
    return Headline(
        names=names,
        bers=tuple(map(ber_text, bers)),
        rows=tuple(found),
        asked=f"at most {n_asked}" if rule.until else f"the {n_asked} asked for",
        limited_of="" if rule.until else f"/{n_asked}",
        critical=_CRITICAL if critical else "",
    )


def is_protected(line: Line, results: Results) -> bool:
    """Whether anything protects it: `relu` is the unprotected network."""
    return results.manifest.scheme_names[line.scheme] != "relu" or line.guard != "none"


def _printed(block: Block, results: Results) -> Sequence[Row]:
    competes = [is_protected(line, results) for line in block.lines]
    found = rows(block, Style())
    # A single protected network is the best of nothing.
    return marked(found, competes) if sum(competes) > 1 else found


def _row(row: Row, line: Line, names: tuple[str, ...], costs: Rows, areas: Rows, critical: Rows) -> HeadlineRow:
    first = line.cells.iloc[0]
    means = line.cells.sort_values("ber").accuracy_mean.tolist()
    labels = tuple(first[name] for name in LABELS)
    return HeadlineRow(
        place=Place(tuple(first[name] for name in names), row.label),
        golden=Figure(row.golden, first.golden_accuracy),
        entries=tuple((entry, mean) if entry else None for entry, mean in zip(row.entries, means, strict=True)),
        resilience=_resilience(areas.get(labels)),
        critical=_critical(critical.get(labels), min(line.cells.ber)) if critical else None,
        memory=_memory(costs.get(labels[: len(NETWORK)])),
        latency=_latency(costs.get(labels[: len(NETWORK)])),
    )


def _critical_bers(results: Results) -> Rows:
    """Labels → the row of `results.critical` at the drop and probability shown."""
    table = results.critical
    return _by_labels(table[(table["drop"] == DROP) & (table.probability == PROBABILITY)], LABELS)


def _critical(row: Any, lowest: float) -> Figure:
    if row is None:
        return _NOT_MEASURED
    text, ends = critical_text(row, lowest)
    return Figure(text, row["critical_ber"], ends)


def _by_labels(frame: pd.DataFrame, labels: Sequence[str]) -> Rows:
    return {tuple(row[name] for name in labels): row for row in frame.to_dict("records")}


def _memory(cost: Any) -> Figure:
    if cost is None:
        return Figure(UNKNOWN, math.nan)
    return Figure(overhead_text(cost["memory_overhead_pct"]), cost["memory_overhead_pct"], f"{cost['bounds']:,} bounds")


def _latency(cost: Any) -> Figure:
    ratio = ratio_texts(cost) if cost else None
    return Figure(f"{ratio[0]}×", cost["latency_ratio"], f"[{ratio[1]}, {ratio[2]}]") if ratio else _NOT_MEASURED


def _resilience(area: Any) -> Figure:
    if area is None:
        return _NOT_MEASURED
    ends = (math.floor(1000 * area["resilience_ci_low"]) / 10, math.ceil(1000 * area["resilience_ci_high"]) / 10)
    return Figure(percent(area["resilience"], 1), area["resilience"], f"[{ends[0]:.1f}, {ends[1]:.1f}]")


_NOT_MEASURED = Figure(UNKNOWN, math.nan)
