"""Markdown tables of results, for READMEs and pull requests."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from faultbench.campaign.stopping_rule import StoppingRule
from faultbench.output.captions import BEST_NOTE, UNTRIED, images_text, overhead_text, ratio_texts, shared_count
from faultbench.output.export.accuracy_table import UNKNOWN, Style, TableEntry, caption, columns, rows
from faultbench.output.export.outcome_table import OutcomeEntry, counts_text, has_due, outcome_rows
from faultbench.results.analysis.blocks import Block, blocks, overheads
from faultbench.results.analysis.critical_ber import DROPS, SHOWN_PROBABILITY, critical_text
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, ber_text
from faultbench.results.labels import escape_markdown, protection

_COSTS_CAPTION = (
    "Overheads: bounds, and their memory in % of the parameters; time of an inference in relation to the unprotected "
    "network, and its 95% interval; fitting in seconds, epochs of training and fault injections; the median of bound "
    f"/ profiled maximum. {UNTRIED}"
)


def markdown(results: Results, style: Style = Style()) -> str:  # noqa: B008 - frozen
    """Return a table for each block of the results: schemes down, BERs across, golden accuracy first.

    A cell has the mean accuracy of its trials and its interval, in per cent. One with fewer trials than the campaign
    asks for has LIMITED and their number, one without trials a dash. A table of SDCs and DUEs follows if there are
    DUEs, which an accuracy alone hides; one of resilience and critical BERs if trials are recorded at every BER; then
    the recorded overheads of the block's networks. Blocks that differ only in the fault model share their overheads.
    """
    parts = [f"# {_plain(results.manifest.campaign)}"]
    costs = overheads(results)
    for block in blocks(results):
        parts += [
            f"## {_plain(block.name)}",
            caption(block, style, results.manifest.rule) + (f" {BEST_NOTE}" if style.best else ""),
            "\n".join(_table(block, style, results.manifest.rule)),
        ]
        if lines := list(_outcome_table(block)):
            parts += [_outcome_caption(block), "\n".join(lines)]
        if lines := list(_resilience_table(block, results)):
            parts += [_resilience_caption(block, results), "\n".join(lines)]
        if block.costs in costs:
            parts += [_COSTS_CAPTION, "\n".join(_costs_table(costs.pop(block.costs)))]
    return "\n\n".join(parts) + "\n"


def _table(block: Block, style: Style, rule: StoppingRule) -> Iterator[str]:
    bers = columns(block)
    yield _row(["scheme", "golden", *(f"BER {ber_text(ber)}" for ber in bers)])
    yield _row(["---", *["---:"] * (len(bers) + 1)])
    for row in rows(block, style):
        cells = (_cell(entry, style, rule) if entry else "" for entry in row.entries)
        yield _row([_plain(row.label), row.golden, *cells])


def _cell(entry: TableEntry, style: Style, rule: StoppingRule) -> str:
    if entry.mean == UNKNOWN:
        return UNKNOWN
    mean = f"**{entry.mean}**" if entry.is_best else entry.mean
    asked = "" if rule.until else f"/{rule.n_max}"
    limited = f" LIMITED {entry.n_trials}{asked}" if entry.is_limited else ""
    return mean + _interval(entry, style) + limited


def _interval(entry: TableEntry, style: Style) -> str:
    if style.ci == "none":
        return ""
    if style.ci == "brackets":
        return f" [{entry.low}, {entry.high}]"
    return f" ± {entry.above}" if entry.below == entry.above else f" +{entry.above} −{entry.below}"


def _outcome_caption(block: Block) -> str:
    return (
        "SDC / DUE in % of the images, and in parentheses the accuracy in % among those that are no DUE, whose logits "
        f"are finite; means over {counts_text([block])}."
    )


def _outcome_table(block: Block) -> Iterator[str]:
    """Yield the lines of the table of SDCs and DUEs; nothing for a block without a DUE."""
    if not has_due(block):
        return
    bers = columns(block)
    yield _row(["scheme", *(f"BER {ber_text(ber)}" for ber in bers)])
    yield _row(["---", *["---:"] * len(bers)])
    for label, entries in outcome_rows(block):
        yield _row([_plain(label), *map(_outcomes, entries)])


def _outcomes(entry: OutcomeEntry | None) -> str:
    if entry is None:
        return ""
    return UNKNOWN if entry.sdc == UNKNOWN else f"{entry.sdc} / {entry.due} ({entry.accuracy_not_due})"


def _resilience_caption(block: Block, results: Results) -> str:
    rule, cells = results.manifest.rule, pd.concat([line.cells for line in block.lines])
    networks = cells[[*LABELS]].drop_duplicates()
    counts = shared_count(results.critical.merge(networks, on=[*LABELS]).trials)
    return (
        f"Resilience: mean area under accuracy against log BER, and its {rule.interval_text}. Critical BER: the "
        f"largest tried up to which {100 * SHOWN_PROBABILITY:g}% of the trials stay less than so many points below "
        f"golden, and its {100 * rule.confidence:g}% interval by order statistics, from a BER that is held to the "
        f"first that is not. Over the {counts} trials recorded at every BER, {images_text(cells)} images per trial."
    )


def _resilience_table(block: Block, results: Results) -> Iterator[str]:
    critical = results.critical[results.critical.probability == SHOWN_PROBABILITY]
    by_network = {labels: rows.to_dict("records") for labels, rows in critical.groupby([*LABELS], sort=False)}
    areas = {tuple(row[label] for label in LABELS): row for row in results.resilience.to_dict("records")}
    networks = [(line, tuple(line.cells[[*LABELS]].iloc[0])) for line in block.lines]
    if not any(labels in by_network for _, labels in networks):
        return
    yield _row(["scheme", "resilience", *(f"critical BER, {100 * drop:g}" for drop in DROPS)])
    yield _row(["---", *["---:"] * (1 + len(DROPS))])
    for line, labels in networks:
        records, lowest = by_network.get(labels, ()), line.cells.ber.min()
        bers = [" ".join(critical_text(row, lowest)) for row in records] or [UNKNOWN] * len(DROPS)
        yield _row([_plain(line.label), _area(areas.get(labels)), *bers])


def _area(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return UNKNOWN
    low = math.floor(1000 * row["resilience_ci_low"]) / 1000
    high = math.ceil(1000 * row["resilience_ci_high"]) / 1000
    return f"{row['resilience']:.3f} [{low:.3f}, {high:.3f}]"


def _costs_table(rows: pd.DataFrame) -> Iterator[str]:
    yield _row(["scheme", "bounds", "memory (%)", "latency", "fitting (s)", "epochs", "injections", "bound / maximum"])
    yield _row(["---", *["---:"] * 7])
    for row in rows.to_dict("records"):
        label, memory = _plain(protection(row["scheme"], row["guard"])), overhead_text(row["memory_overhead_pct"])
        fitting = (f"{row['fit_seconds']:,.1f}", f"{row['fit_epochs']:,}", f"{row['fit_injections']:,}")
        yield _row([label, f"{row['bounds']:,}", memory, _latency(row), *fitting, _ratio(row["bounds_to_maxima"])])


def _latency(row: Mapping[Any, Any]) -> str:
    ratio = ratio_texts(row)
    return f"{ratio[0]} [{ratio[1]}, {ratio[2]}]" if ratio else UNKNOWN


def _ratio(bounds_to_maxima: float) -> str:
    return UNKNOWN if math.isnan(bounds_to_maxima) else f"{bounds_to_maxima:.3g}"


def _row(fields: Iterable[str]) -> str:
    return f"| {' | '.join(fields)} |"


def _plain(label: str) -> str:
    """Return the label escaped, also the start of a formula, in case the table is pasted into a spreadsheet."""
    return re.sub(r"^[=+@-]", r"\\\g<0>", escape_markdown(label))
