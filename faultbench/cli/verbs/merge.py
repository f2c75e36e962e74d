"""`faultbench merge`: join the results folders of several shards or machines."""

from pathlib import Path

import click

from faultbench.cli.quoted_text import echo_quoted
from faultbench.cli.verb import Section, verb


@verb("merge", Section.RUN)
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.argument("sources", metavar="IN...", type=click.Path(path_type=Path), nargs=-1, required=True)
def command(out: Path, sources: tuple[Path, ...]) -> None:
    """Join the results folders IN in the results folder OUT.

    OUT may exist; its tables are written. The order does not matter, and merging again changes nothing. Folders of
    another campaign are refused.
    """
    from faultbench.results.merge import merge

    merge(out, sources)

    from faultbench.output.export.table_files import write_tables
    from faultbench.results.analysis.results import read_results

    results = read_results(out)
    write_tables(results, out / "tables")
    n_trials, n_asked = len(results.trials), results.manifest.trials * len(results.manifest.cells)
    echo_quoted(f"{out}: {n_trials:,} of {n_asked:,} trials", err=True)
    for remark in results.remarks:
        echo_quoted(remark, err=True)
