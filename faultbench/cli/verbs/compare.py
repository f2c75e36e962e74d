"""`faultbench compare`: compare two schemes, or two campaigns, trial by trial."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faultbench.campaign.input_files import RECORDED_NAMES
from faultbench.cli.option_types import OutputFile
from faultbench.cli.verb import Section, verb
from faultbench.system.files.destinations import refuse_inputs
from faultbench.system.text_tables import Column, TextTable

if TYPE_CHECKING:
    from faultbench.results.analysis.comparison import ComparedPair

COLUMNS = (
    Column("BER"),
    Column("trials", rank=3),
    Column("first", rank=2),
    Column("second", rank=2),
    Column("difference"),
    Column("interval"),
    Column("p", rank=1),
    Column("p (Holm)"),
    Column("pairing", rank=4),
)
"""Columns after the labels; the first two accuracies in per cent, the difference in points."""


@verb("compare", Section.LOOK)
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.argument("others", metavar="OTHER_RESULTS | SCHEME SCHEME", nargs=-1, required=True)
@click.option("--output", metavar="FILE", type=OutputFile(), help="Write the table as CSV too.")
def command(path: Path, others: tuple[str, ...], output: Path | None) -> None:
    """Compare two results folders or two schemes, trial by trial.

    Trials that met the same flips are compared in pairs. `compare results/a results/b` compares the cells that both
    folders have. `compare results/a relu clip_act` compares the second scheme with the first. A scheme with a guard is
    named like "relu + secded".
    """
    from faultbench.results.analysis.comparison import compare_folders, compare_schemes
    from faultbench.results.folder import read_folder

    folders = [path, *(Path(other) for other in others if len(others) == 1)]
    if output:
        refuse_inputs(output, "--output", [folder / name for folder in folders for name in RECORDED_NAMES])
    match others:
        case (other,):
            pairs = compare_folders(read_folder(path), read_folder(Path(other)))
        case (first, second):
            pairs = compare_schemes(read_folder(path), first, second)
        case _:
            raise click.UsageError("compare takes two results folders, or one and two schemes")
    _show(pairs)
    if output:
        _write(pairs, output)


def _show(pairs: Sequence["ComparedPair"]) -> None:
    from faultbench.results.folder import LABELS, ber_text

    shown = [label for label in LABELS if len({pair.row[label] for pair in pairs}) > 1]
    rows = [
        (*(str(pair.row[label]) for label in shown), ber_text(pair.ber), f"{pair.trials:,}", *_numbers(pair))
        for pair in pairs
    ]
    columns = [*(Column(label, is_text=True) for label in shown), *COLUMNS]
    TextTable(columns, rows, title=f"{pairs[0].second} against {pairs[0].first}").show()
    in_strata = any(pair.interval.startswith("stratified") for pair in pairs)
    of_pairs = "of one number; those in strata met other flips" if in_strata else "that met the same flips"
    click.echo(
        f"Difference of mean accuracies (second - first) in points, with its {100 * pairs[0].confidence:g}% "
        f"{pairs[0].interval} interval, over pairs of trials {of_pairs}.\n"
        f"p: betting against no difference; p (Holm): for the {len(pairs)} rows together.\n"
        "pairing: how many times as many trials the same interval would take without pairs."
    )


def _numbers(pair: "ComparedPair") -> tuple[str, ...]:
    # Rounded outwards, the printed interval holds too.
    low, high = math.floor(1000 * pair.difference_ci_low) / 10, math.ceil(1000 * pair.difference_ci_high) / 10
    saved = "-" if math.isnan(pair.variance_ratio) else f"×{pair.variance_ratio:.1f}"
    return (
        f"{100 * pair.accuracy_first:.1f}", f"{100 * pair.accuracy_second:.1f}", f"{100 * pair.difference:+.1f}",
        f"[{low:+.1f}, {high:+.1f}]", f"{pair.p:.2g}", f"{pair.p_holm:.2g}", saved,
    )  # fmt: skip


def _field(value: Any) -> Any:
    from faultbench.results.labels import escape_formula

    if isinstance(value, float) and math.isnan(value):
        return ""
    return escape_formula(value) if isinstance(value, str) else value


def _write(pairs: Sequence["ComparedPair"], path: Path) -> None:
    """Write the rows as CSV; an unknown value is an empty field."""
    from faultbench.system.files.disk import replaced

    text = io.StringIO()
    writer = csv.DictWriter(text, list(pairs[0].row), lineterminator="\n")
    writer.writeheader()
    for pair in pairs:
        writer.writerow({name: _field(value) for name, value in pair.row.items()})
    with replaced(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
