"""`faultbench overhead`: what protecting a network costs, scheme by scheme."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from faultbench.campaign import Campaign
from faultbench.cli.options import (
    campaign_arguments,
    data_option,
    output_option,
    plugins_flag,
    progress_option,
    runnable_campaign,
)
from faultbench.system.progress.reporter import Reporter

REFERENCE = "hyrelu_proact"
"""The scheme whose bounds the others' are counted in, as in the ProAct paper's "10.5×–134×"."""


@click.command("overhead")
@campaign_arguments
@plugins_flag
@output_option
@data_option
@progress_option
@click.option("--memory-only", is_flag=True, help="Count bounds; needs no data and no training, writes nothing.")
def command(
    file: Path, overrides: tuple[str, ...], with_plugins: bool, root: Path, memory_only: bool, shown: Reporter
) -> None:
    """Print each scheme's memory overhead, and measure its latency and the cost of fitting it."""
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)
    if memory_only:
        _show_memory(campaign)
        return

    from faultbench.results.analysis.results import read_results, write_tables
    from faultbench.runner.campaign_runner import measure
    from faultbench.runner.engines.serial import Serial

    folder = measure(campaign, root, engine=Serial(1), reporter=shown, command=sys.argv)
    results = read_results(folder)
    write_tables(results, folder / "tables")
    click.echo(results.overhead.to_string(index=False))


def _show_memory(campaign: Campaign) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    names = ("data set", "network", "parameters", "sites", "scheme", "bounds", "overhead", f"× {REFERENCE}")
    table = Table(*names, box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in zip(names, table.columns, strict=True):
        column.justify = "left" if name in ("data set", "network", "scheme") else "right"
        column.overflow = "fold"  # a name cut short may be that of two networks
    for row in _memory_rows(campaign):
        table.add_row(*row)
    Console(width=max(110, Console().width), highlight=False).print(table)
    click.echo("overhead: bounds in per cent of parameters, both words of the same format")


def _memory_rows(campaign: Campaign) -> Iterator[tuple[str, ...]]:
    from faultbench.runner.subjects.components import parts
    from faultbench.runner.subjects.overhead import memory

    networks = dict.fromkeys((subject.dataset, subject.model) for subject in campaign.subjects)
    for dataset, model in networks:
        built = [parts(s) for s in campaign.subjects if (s.dataset, s.model) == (dataset, model)]
        counted = {one.subject.scheme: (memory(one.untrained, one.codec), len(one.untrained.sites)) for one in built}
        reference = next((m.n_bounds for scheme, (m, _) in counted.items() if scheme.name == REFERENCE), 0)
        for scheme, (words, n_sites) in counted.items():
            if words.n_bounds:
                yield (
                    dataset.label,
                    model.label,
                    f"{words.n_parameters:,}",
                    str(n_sites),
                    scheme.label,
                    f"{words.n_bounds:,}",
                    f"{100 * words.n_bounds / words.n_parameters:.3g} %",
                    f"{words.n_bounds / reference:.4g}" if reference else "",
                )
