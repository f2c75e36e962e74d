"""`faultbench run`: do what is missing of a campaign."""

import shlex
import sys
from pathlib import Path

import click

from faultbench.cli.options import (
    campaign_arguments,
    data_option,
    memory_option,
    output_option,
    plugins_flag,
    runnable_campaign,
)
from faultbench.errors import Interrupted
from faultbench.progress import reporter
from faultbench.registry import build, catalogue


@click.command("run")
@campaign_arguments
@plugins_flag
@output_option
@data_option
@click.option("--engine", type=click.Choice(list(catalogue("engine"))), default="local", show_default=True)
@click.option("--workers", "n_workers", type=click.IntRange(min=1), help="Worker processes; default: one a core.")
@memory_option
@click.option("--limit", type=click.IntRange(min=1), help="At most so many trials a cell; tables mark it LIMITED.")
@click.option("--fresh", is_flag=True, help="Put existing results aside and start anew.")
@click.option("--progress", type=click.Choice(["rich", "plain"]), help="Default: rich on a terminal.")
def command(
    file: Path,
    overrides: tuple[str, ...],
    with_plugins: bool,
    root: Path,
    engine: str,
    n_workers: int | None,
    memory_bytes: int | None,
    limit: int | None,
    fresh: bool,
    progress: str | None,
) -> None:
    """Train or load networks, fit schemes, run trials: whatever is missing. Running it again resumes."""
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)
    shown = reporter(progress, is_terminal=sys.stderr.isatty())

    from joblib import cpu_count

    from faultbench.runner import run

    chosen = build("engine", engine, {}, n_workers=n_workers or cpu_count())
    try:
        folder = run(
            campaign,
            root,
            engine=chosen,
            reporter=shown,
            memory_bytes=memory_bytes,
            limit=limit,
            fresh=fresh,
            command=sys.argv,
        )
    except KeyboardInterrupt as stop:
        raise Interrupted(f"interrupted; to go on: {shlex.join(sys.argv)}") from stop
    _show(folder)


def _show(folder: Path) -> None:
    from faultbench.markdown import markdown
    from faultbench.tables import read_results, write_tables

    results = read_results(folder)
    write_tables(results, folder / "tables")
    click.echo(markdown(results))
