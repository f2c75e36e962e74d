"""LaTeX tables of results, for papers: they need booktabs and nothing else beyond plain LaTeX."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from faultbench.output.captions import BEST_NOTE, UNTRIED, images_text, overhead_text, ratio_texts, shared_count
from faultbench.output.export.accuracy_table import UNKNOWN, Style, TableEntry, TableRow, columns, rows
from faultbench.output.export.latex_escape import escape_latex
from faultbench.output.export.outcome_table import OutcomeEntry, counts_text, has_due, outcome_rows
from faultbench.results.analysis.blocks import Block, blocks, overheads
from faultbench.results.analysis.results import Results
from faultbench.results.folder import ber_text
from faultbench.results.labels import protection

ROWS_PER_TABLE = 30
"""Most protected networks in one floating table; further blocks go into the next table."""

_ALIGNMENT = {"brackets": "c", "plusminus": "l", "none": "r"}


def latex(results: Results, style: Style = Style()) -> str:  # noqa: B008 - frozen
    """Return tables of accuracy, schemes down, BERs across, a block per data set and model; then one of overheads.

    A table of SDCs and DUEs follows those of accuracy if there are DUEs, which an accuracy alone hides. They go into
    the body of a document that loads booktabs. Intervals in brackets stand below their mean, so that six BERs fit the
    width of a page.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", results.manifest.campaign)  # a comment would end at a line break
    parts = [f"% Accuracy and overheads of the campaign {name}; \\usepackage{{booktabs}} goes into the preamble."]
    for number, part in enumerate(_pages(blocks(results)), 1):
        parts.append(_accuracy_table(part, results, style, label=f"tab:{name}-accuracy" + _suffix(number)))
    for number, part in enumerate(_pages([block for block in blocks(results) if has_due(block)]), 1):
        parts.append(_outcome_table(part, label=f"tab:{name}-outcomes" + _suffix(number)))
    costs = overheads(results)
    if costs:
        parts.append(_overhead_table(costs, label=f"tab:{name}-overhead"))
    return "\n".join(parts)


def _pages(campaign_blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Yield the blocks of each table."""
    page: list[Block] = []
    for block in campaign_blocks:
        if page and sum(len(member.lines) for member in (*page, block)) > ROWS_PER_TABLE:
            yield page
            page = []
        page.append(block)
    if page:
        yield page


def _suffix(number: int) -> str:
    return "" if number == 1 else f"-{number}"


def _accuracy_table(part: Sequence[Block], results: Results, style: Style, *, label: str) -> str:
    bers = columns(part[0])
    n_columns = 2 + len(bers)
    body = _head(["Scheme", "Golden"], bers)
    for block in part:
        body += _block_title(block.name, n_columns)
        for row in rows(block, style):
            body += _row_lines(row, style)
    alignment = "lr" + _ALIGNMENT[style.ci] * len(bers)
    return _table(body, alignment, _accuracy_caption(part, results, style), label)


def _head(names: Sequence[str], bers: Sequence[float]) -> list[str]:
    """Return the lines over a table whose first columns have names and whose others are BERs."""
    return [
        rf"{'& ' * len(names)}\multicolumn{{{len(bers)}}}{{c}}{{Bit error rate}} \\",
        rf"\cmidrule(l){{{1 + len(names)}-{len(names) + len(bers)}}}",
        _line([*names, *(_power(ber_text(ber)) for ber in bers)]),
    ]


def _row_lines(row: TableRow, style: Style) -> Iterator[str]:
    """Yield the line of a row, and a second one with its intervals if they are in brackets."""
    yield _line([_name(row.label), _number(row.golden), *(_cell(entry, style) for entry in row.entries)])
    intervals = [_brackets(entry) for entry in row.entries]
    if style.ci == "brackets" and any(intervals):
        yield _line(["", "", *intervals])
    if style.ci != "none":
        yield r"\addlinespace[2pt]"


def _brackets(entry: TableEntry | None) -> str:
    return rf"\scriptsize [{entry.low}, {entry.high}]" if entry and entry.mean != UNKNOWN else ""


def _cell(entry: TableEntry | None, style: Style) -> str:
    if entry is None or entry.mean == UNKNOWN:
        return "" if entry is None else "--"
    mean = rf"\textbf{{{entry.mean}}}" if entry.is_best else entry.mean
    dagger = r"\rlap{$^{\dagger}$}" if entry.is_limited and style.ci == "brackets" else ""
    dagger = dagger or (r"$^{\dagger}$" if entry.is_limited else "")
    if style.ci != "plusminus":
        return mean + dagger
    if entry.below == entry.above:
        return rf"{mean}$\,\pm\,{entry.above}${dagger}"
    return rf"{mean}$^{{+{entry.above}}}_{{-{entry.below}}}${dagger}"


def _accuracy_caption(part: Sequence[Block], results: Results, style: Style) -> str:
    cells = pd.concat([line.cells for block in part for line in block.lines])
    rule = results.manifest.rule
    interval = "" if style.ci == "none" else f", with the {escape_latex(rule.interval_text)} over trials"
    counts = f"{shared_count(cells.trials)} trials per cell and {images_text(cells)} images per trial"
    notes = [rf"Mean accuracy in \% over {counts}{interval}. Golden: without faults."]
    if style.best:
        notes.append(BEST_NOTE)
    limited = cells[cells.limited & (cells.trials > 0)]
    if len(limited):
        asked = f"{rule.n_max:,}" if rule.until is None else f"at most {rule.n_max:,}"
        notes.append(rf"$^{{\dagger}}$LIMITED: {shared_count(limited.trials)} of the {asked} trials asked for.")
    if (cells.trials == 0).any():
        notes.append("--: no trial recorded.")
    return " ".join(notes)


def _outcome_table(part: Sequence[Block], *, label: str) -> str:
    bers = columns(part[0])
    body = _head(["Scheme"], bers)
    for block in part:
        body += _block_title(block.name, 1 + len(bers))
        for name, entries in outcome_rows(block):
            known = [entry for entry in entries if entry and entry.sdc != UNKNOWN]
            body.append(_line([_name(name), *(_rates(entry) for entry in entries)]))
            if known:
                body.append(_line(["", *(_finite(entry) for entry in entries)]))
            body.append(r"\addlinespace[2pt]")
    caption = (
        rf"SDC / DUE in \% of the images, and below the accuracy in \% among those that are no DUE, whose logits are "
        rf"finite; means over {counts_text(part)}."
    )
    return _table(body, "l" + "c" * len(bers), caption, label)


def _rates(entry: OutcomeEntry | None) -> str:
    if entry is None or entry.sdc == UNKNOWN:
        return "" if entry is None else "--"
    return f"{entry.sdc} / {entry.due}"


def _finite(entry: OutcomeEntry | None) -> str:
    if entry is None or entry.sdc == UNKNOWN:
        return ""
    return rf"\scriptsize {_number(entry.accuracy_not_due)}"


def _overhead_table(costs: Mapping[tuple[str, ...], pd.DataFrame], *, label: str) -> str:
    heads = ["Scheme", "Bounds", r"Memory (\%)", "Latency", "Fit (s)", "Epochs", "Injections"]
    body = [_line(heads)]
    for names, group in costs.items():
        body += _block_title(", ".join(names), len(heads))
        body += [_line(_cost_cells(row)) for row in group.to_dict("records")]
    caption = (
        r"Overheads: bounds, and their memory in \% of the parameters; time of an inference in relation to the "
        r"unprotected network, with its 95\,\% interval; fitting in seconds, epochs of training and fault injections. "
        + UNTRIED
    )
    return _table(body, "l" + "r" * (len(heads) - 1), caption, label)


def _cost_cells(row: Mapping[Any, Any]) -> list[str]:
    ratio = ratio_texts(row)
    latency = rf"{ratio[0]} {{\scriptsize [{ratio[1]}, {ratio[2]}]}}" if ratio else "--"
    fitting = [f"{row['fit_seconds']:,.1f}", f"{row['fit_epochs']:,}", f"{row['fit_injections']:,}"]
    name = _name(protection(row["scheme"], row["guard"]))
    return [name, f"{row['bounds']:,}", overhead_text(row["memory_overhead_pct"]), latency, *fitting]


def _table(body: Iterable[str], alignment: str, caption: str, label: str) -> str:
    lines = [
        r"\begin{table*}[tb]",
        r"\centering\small\setlength{\tabcolsep}{3.5pt}\setlength{\belowcaptionskip}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _block_title(name: str, n_columns: int) -> list[str]:
    return [r"\midrule", rf"\multicolumn{{{n_columns}}}{{@{{}}l}}{{\itshape {escape_latex(name)}}} \\"]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _name(label: str) -> str:
    """Return a label in braces: at the start of a row LaTeX would take a star or a bracket for an argument."""
    return f"{{{escape_latex(label)}}}"


def _number(text: str) -> str:
    return "--" if text == UNKNOWN else text


def _power(ber: str) -> str:
    """Return a BER such as 3e-7 as a power of ten."""
    digits, _, exponent = ber.partition("e")
    return f"$10^{{{exponent}}}$" if digits == "1" else rf"${digits} \cdot 10^{{{exponent}}}$"
