"""`faultbench compare`: two schemes, or two campaigns, trial by trial."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from faultbench.results.analysis.comparison import Pair


@click.command("compare")
@click.argument("path", metavar="RESULTS", type=click.Path(path_type=Path))
@click.argument("others", metavar="OTHER_RESULTS | SCHEME SCHEME", nargs=-1, required=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write the table as CSV.")
def command(path: Path, others: tuple[str, ...], output: Path | None) -> None:
    """Compare two results folders, or two schemes of one, over trials that met the same flips.

    `compare results/a results/b` compares the cells that both have, `compare results/a relu clip_act` the second
    scheme with the first; a guarded one is called "relu + secded".
    """
    from faultbench.results.analysis.comparison import compare_folders, compare_schemes
    from faultbench.results.folder import read_folder

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


def _show(pairs: Sequence["Pair"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from faultbench.results.folder import LABELS, ber_text

    shown = [label for label in LABELS if len({pair.row[label] for pair in pairs}) > 1]
    headers = ("BER", "trials", "first", "second", "difference", "", "p", "p (Holm)", "pairing")
    table = Table(*shown, *headers, title=Text(f"{pairs[0].second} against {pairs[0].first}"), title_justify="left")
    for column in table.columns[len(shown) :]:
        column.justify = "right"
    for pair in pairs:
        labels = [Text(pair.row[label]) for label in shown]
        table.add_row(*labels, ber_text(pair.ber), f"{pair.trials:,}", *_numbers(pair))
    Console(width=max(130, Console().width), highlight=False).print(table)
    in_strata = any(pair.interval.startswith("stratified") for pair in pairs)
    of_pairs = "of one number; those in strata met other flips" if in_strata else "that met the same flips"
    click.echo(
        f"Difference of mean accuracies (second - first) in points, {100 * pairs[0].confidence:g}% {pairs[0].interval} "
        f"interval over pairs of trials {of_pairs}.\np: betting against no difference; Holm: for the "
        f"{len(pairs)} rows together. pairing: without pairs it would take so many times as many trials."
    )


def _numbers(pair: "Pair") -> tuple[str, ...]:
    # The interval is rounded outwards, so that what is printed holds too.
    low, high = math.floor(1000 * pair.difference_ci_low) / 10, math.ceil(1000 * pair.difference_ci_high) / 10
    saved = "-" if math.isnan(pair.variance_ratio) else f"×{pair.variance_ratio:.1f}"
    return (
        f"{100 * pair.accuracy_first:.1f}", f"{100 * pair.accuracy_second:.1f}", f"{100 * pair.difference:+.1f}",
        f"[{low:+.1f}, {high:+.1f}]", f"{pair.p:.2g}", f"{pair.p_holm:.2g}", saved,
    )  # fmt: skip


def _write(pairs: Sequence["Pair"], path: Path) -> None:
    """The rows as CSV; what is not known is an empty field."""
    from faultbench.system.files.disk import replaced

    text = io.StringIO()
    writer = csv.DictWriter(text, list(pairs[0].row), lineterminator="\n")
    writer.writeheader()
    for pair in pairs:
        writer.writerow(
            {name: "" if isinstance(value, float) and math.isnan(value) else value for name, value in pair.row.items()}
        )
    with replaced(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
