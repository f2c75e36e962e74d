"""A judgement as a table for people, and as Markdown."""

import io
import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from faultbench.gate.baseline import Place, place_text
from faultbench.gate.judgement import Judgement
from faultbench.gate.verdicts import Verdict
from faultbench.results.folder import LABELS, ber_text
from faultbench.results.stats import CONFIDENCE

HEADERS = ("BER", "trials", "then", "now", "difference", "", "p (Holm)", "verdict", "why")
LIMITS = ("limit", "cell", "verdict", "value")
_N_NUMBERS = 7
"""Columns of HEADERS that hold numbers."""


WIDTH = 180
"""Characters of a line: logs of CI systems scroll sideways, and wrapped reasons cannot be searched for."""


def table_text(judgement: Judgement) -> str:
    """The cells and limits as tables, the notes, and the summary as the last line."""
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, highlight=False)
    if judgement.verdicts:
        console.print(_table(cell_rows(judgement), n_right=_N_NUMBERS))
    if judgement.limits:
        console.print(_table(limit_rows(judgement), n_right=0))
    lines = [*([footnote()] if judgement.verdicts else []), *judgement.notes, judgement.summary]
    return text.getvalue() + "\n".join(lines) + "\n"


def markdown_text(judgement: Judgement) -> str:
    """The same as Markdown, for a page that GitHub shows."""
    lines = [f"### faultbench check: {judgement.campaign}", "", _escaped(judgement.summary), ""]
    for rows in (cell_rows(judgement), limit_rows(judgement)):
        if len(rows) > 1:
            lines += [_line(rows[0]), _line(["---"] * len(rows[0])), *map(_line, rows[1:]), ""]
    lines += [f"- {_escaped(note)}" for note in judgement.notes]
    return "\n".join(lines).rstrip() + "\n"


def footnote() -> str:
    """What the columns are."""
    return (
        f"then, now: mean accuracy in %; difference in points with its {100 * CONFIDENCE:g}% betting interval, over "
        "pairs of\ntrials that met the same flips. p: of a drop within the margin, with Holm's correction for all cells"
        "\ntested. Trials that it takes to tell: if they come out like these."
    )


def cell_rows(judgement: Judgement) -> list[Sequence[str]]:
    """Headers, then a row a cell; labels that all cells share are left out."""
    places = [verdict.place for verdict in judgement.verdicts]
    shown = [n for n in range(len(LABELS)) if len({place[n] for place in places}) > 1]
    head = (*(LABELS[n] for n in shown), *HEADERS)
    return [head, *((*(str(one.place[n]) for n in shown), *_numbers(one)) for one in judgement.verdicts)]


def limit_rows(judgement: Judgement) -> list[Sequence[str]]:
    """Headers, then a row for each limit in each of its cells."""
    words = {True: "BROKEN", False: "kept"}
    return [
        LIMITS,
        *(
            (one.limit.text.strip(), place_text(one.place), words[one.is_broken], one.reason)
            for one in judgement.limits
        ),
    ]


def _numbers(one: Verdict) -> tuple[str, ...]:
    interval, difference = "", ""
    if one.then is not None and one.now is not None:
        difference = f"{100 * (one.now - one.then):+.1f}"
    if one.interval is not None:  # rounded outwards, so that what is printed holds too
        low, high = math.floor(1000 * one.interval.low) / 10, math.ceil(1000 * one.interval.high) / 10
        interval = f"[{low:+.1f}, {high:+.1f}]"
    state = one.state if one.state in ("identical", "kept") else one.state.upper()
    p = "" if one.p is None else f"{one.p:.2g}"
    counts = (f"{one.n_pairs:,}" if one.n_pairs else "", _percent(one.then), _percent(one.now))
    return (_ber(one.place), *counts, difference, interval, p, state, one.reason)


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.1f}"


def _ber(place: Place) -> str:
    return ber_text(float(place[-1]))


def _table(rows: list[Sequence[str]], *, n_right: int) -> Table:
    head, *body = rows
    options: list[dict[str, Any]] = [{} for _ in head]
    first = len(head) - len(HEADERS)
    for n in range(first, first + n_right):
        options[n] = {"justify": "right", "no_wrap": True}
    table = Table()
    for name, option in zip(head, options, strict=True):
        table.add_column(name, **option)
    for row in body:
        table.add_row(*map(Text, row))
    return table


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, row))} |"


def _escaped(text: str) -> str:
    """Labels are anybody's text: they must not end a cell or become HTML, links or pictures."""
    return "".join(f"\\{char}" if char in "\\|<>&[]`*_~#!" else char for char in " ".join(text.split()))
