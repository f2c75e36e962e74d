"""Results as Markdown tables, for READMEs and pull requests."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from faultbench.accuracy_table import UNKNOWN, Entry, Style, caption, columns, rows
from faultbench.blocks import Block, blocks, overhead_text, overheads, protection, ratio_texts
from faultbench.results_folder import ber_text
from faultbench.tables import Results

_COSTS_CAPTION = (
    "Overheads: bounds, and their memory in % of the parameters; time of an inference in relation to the unprotected "
    "network, and its 95% interval; fitting in seconds, epochs of training and fault injections."
)


_BEST = "Bold: the highest mean of a column; differences are not tested."


def markdown(results: Results, style: Style = Style()) -> str:  # noqa: B008 - frozen
    """A table for each block of the results: schemes down, BERs across, golden accuracy first.

    A cell is the mean accuracy of its trials and its interval, in per cent; one with fewer trials than the
    campaign asks for says LIMITED and how many it has, one without any is a dash. The overheads of the block's
    networks follow, where they are recorded; blocks that differ in the fault model alone share them.
    """
    parts = [f"# {_plain(results.manifest.campaign)}"]
    costs = overheads(results)
    for block in blocks(results):
        parts += [
            f"## {_plain(block.name)}",
            caption(block, style) + (f" {_BEST}" if style.best else ""),
            "\n".join(_table(block, style, results.manifest.trials)),
        ]
        if block.costs in costs:
            parts += [_COSTS_CAPTION, "\n".join(_costs_table(costs.pop(block.costs)))]
    return "\n\n".join(parts) + "\n"


def _table(block: Block, style: Style, n_asked: int) -> Iterator[str]:
    bers = columns(block)
    yield _row(["scheme", "golden", *(f"BER {ber_text(ber)}" for ber in bers)])
    yield _row(["---", *["---:"] * (len(bers) + 1)])
    for row in rows(block, style):
        cells = (_cell(entry, style, n_asked) if entry else "" for entry in row.entries)
        yield _row([_plain(row.label), row.golden, *cells])


def _cell(entry: Entry, style: Style, n_asked: int) -> str:
    if entry.mean == UNKNOWN:
        return UNKNOWN
    mean = f"**{entry.mean}**" if entry.is_best else entry.mean
    limited = f" LIMITED {entry.n_trials}/{n_asked}" if entry.is_limited else ""
    return mean + _interval(entry, style) + limited


def _interval(entry: Entry, style: Style) -> str:
    if style.ci == "none":
        return ""
    if style.ci == "brackets":
        return f" [{entry.low}, {entry.high}]"
    return f" ± {entry.above}" if entry.below == entry.above else f" +{entry.above} −{entry.below}"


def _costs_table(rows: pd.DataFrame) -> Iterator[str]:
    yield _row(["scheme", "bounds", "memory (%)", "latency", "fitting (s)", "epochs", "injections"])
    yield _row(["---", *["---:"] * 6])
    for row in rows.to_dict("records"):
        label, memory = _plain(protection(row["scheme"], row["guard"])), overhead_text(row["memory_overhead_pct"])
        fitting = (f"{row['fit_seconds']:,.1f}", f"{row['fit_epochs']:,}", f"{row['fit_injections']:,}")
        yield _row([label, f"{row['bounds']:,}", memory, _latency(row), *fitting])


def _latency(row: Mapping[Any, Any]) -> str:
    ratio = ratio_texts(row)
    return f"{ratio[0]} [{ratio[1]}, {ratio[2]}]" if ratio else UNKNOWN


def _row(fields: Iterable[str]) -> str:
    return f"| {' | '.join(fields)} |"


def _plain(label: str) -> str:
    """The label as Markdown prints it letter by letter: a bar would end the table's cell.

    What a spreadsheet takes for the start of a formula is escaped too, for those who paste the text into one.
    """
    return re.sub(r"([\\`*|<]|^[=+@-])", r"\\\1", label)
