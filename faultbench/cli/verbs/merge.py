"""`faultbench merge`: one results folder out of those of several shards or machines."""

from pathlib import Path

import click


@click.command("merge")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.argument("sources", metavar="IN...", type=click.Path(path_type=Path), nargs=-1, required=True)
def command(out: Path, sources: tuple[Path, ...]) -> None:
    """Put what the results folders IN hold into the results folder OUT, new or not, and write its tables.

    The order does not matter, and merging again changes nothing. Folders of another campaign are refused.
    """
    from faultbench.results.merge import merge

    merge(out, sources)

    from faultbench.results.analysis.results import read_results, write_tables

    results = read_results(out)
    write_tables(results, out / "tables")
    n_trials, n_asked = len(results.trials), results.manifest.trials * len(results.manifest.cells)
    click.echo(f"{out}: {n_trials:,} of {n_asked:,} trials", err=True)
    for remark in results.remarks:
        click.echo(remark, err=True)
