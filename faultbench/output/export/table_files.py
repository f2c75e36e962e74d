"""Write the tables of a campaign's results as CSV and Parquet files."""

import importlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pandas as pd

from faultbench.output.export.csv_text import csv_text
from faultbench.results.analysis.attribution import attributions, count_flips
from faultbench.results.analysis.results import Results
from faultbench.results.folder import LABELS, CellEntry
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.destinations import refuse_linked
from faultbench.system.files.disk import replaced
from faultbench.system.processes import cut_evenly, run_in_parallel

LABEL_COLUMNS = (*LABELS, "layer", "kind")
"""Columns whose texts users choose; they can hold anything."""

TABLES = ("cells", "trials", "overhead", "resilience", "critical", "attribution", "harm")
"""Tables of a campaign: each is an attribute of `Results` and a CSV file."""

STRATIFIED = ("hazard", "strata")
"""More tables of a campaign whose trials are drawn in strata."""


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write a CSV file for each table of the results into folder and return their paths.

    Fractions are written so that they read back bit for bit; an unknown value is an empty field.
    """
    refuse_linked(folder)
    tables = {name: _parts(results, name) for name in reversed(_names(results))}  # the last ones take longest to make
    calls = [
        partial(_csv, frame, has_header=number == 0) for parts in tables.values() for number, frame in enumerate(parts)
    ]
    written = run_in_parallel(calls)
    paths = [_put_together(folder / f"{name}.csv", islice(written, len(parts))) for name, parts in tables.items()]
    return paths[::-1]


def _parts(results: Results, name: str) -> list[Callable[[], pd.DataFrame]]:
    """Return functions that make a table, from top to bottom: attribution, the longest, in one part per core."""
    if name == "attribution":
        return [partial(_attribution_rows, results, part) for part in cut_evenly(results.manifest.sorted_cells)]
    return [partial(getattr, results, name)]


def _attribution_rows(results: Results, entries: Sequence[CellEntry]) -> pd.DataFrame:
    return attributions(count_flips(results, entries), results.manifest.rule.confidence_per_look)


def _csv(make_frame: Callable[[], pd.DataFrame], *, has_header: bool) -> bytes:
    return csv_text(make_frame(), LABEL_COLUMNS, has_header=has_header).encode()


def _put_together(path: Path, parts: Iterable[bytes]) -> Path:
    with replaced(path) as temporary, temporary.open("wb") as file:
        file.writelines(parts)
    return path


def write_parquet(results: Results, folder: Path) -> list[Path]:
    """Write a Parquet file for each table of the results into folder and return their paths.

    FaultbenchError if pyarrow is not installed.
    """
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise FaultbenchError(
            "--format parquet needs pyarrow, which is not installed; pip install 'faultbench-dnn[parquet]', "
            "or take --format csv"
        ) from error
    refuse_linked(folder)
    calls = [partial(_parquet, results, name, folder) for name in reversed(_names(results))]
    return [*run_in_parallel(calls)][::-1]


def _parquet(results: Results, name: str, folder: Path) -> Path:
    path = folder / f"{name}.parquet"
    with replaced(path) as temporary:
        getattr(results, name).to_parquet(temporary, engine="pyarrow", index=False)
    return path


def _names(results: Results) -> tuple[str, ...]:
    return (*TABLES, *STRATIFIED) if results.strata_of else TABLES
