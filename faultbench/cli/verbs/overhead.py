"""`faultbench overhead`: measure what protecting a network costs, scheme by scheme."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faultbench.campaign import Campaign
from faultbench.cli.execution_options import campaign_options
from faultbench.cli.options import progress_option, runnable_campaign
from faultbench.cli.verb import Section, verb
from faultbench.system.progress.reporter import Reporter
from faultbench.system.text_tables import Column, TextTable

if TYPE_CHECKING:
    import pandas as pd

    from faultbench.runner.subjects.overhead import ParameterCount

REFERENCE = "hyrelu_proact"
"""Scheme whose bounds are the unit of the last column, as in the ProAct paper's "10.5×–134×"."""

BUSY = 0.2
"""Width of a latency's interval, as a part of it, from which the machine counts as busy; on a quiet one it is 0.1."""

COLUMNS = (
    Column("data set", is_text=True),
    Column("network", is_text=True),
    Column("parameters", rank=1),
    Column("sites", rank=2),
    Column("scheme", is_text=True),
    Column("bounds"),
    Column("overhead"),
    Column(f"× {REFERENCE}", rank=3),
)


@verb("overhead", Section.RUN)
@campaign_options
@progress_option("rich", "plain", "json")
@click.option("--memory-only", is_flag=True, help="Count bounds and nothing else. It needs no data and writes nothing.")
def command(
    file: Path, overrides: tuple[str, ...], with_plugins: bool, root: Path, memory_only: bool, shown: Reporter
) -> None:
    """Measure what each scheme costs in memory, latency and fitting."""
    campaign = runnable_campaign(file, overrides, with_plugins=with_plugins)
    if memory_only:
        _show_memory(campaign)
        return

    from faultbench.output.export.table_files import write_tables
    from faultbench.results.analysis.results import read_results
    from faultbench.runner.campaign_runner import measure_campaign
    from faultbench.runner.engines.serial import Serial

    folder = measure_campaign(campaign, root, engine=Serial(1), reporter=shown, command=sys.argv)
    results = read_results(folder)
    write_tables(results, folder / "tables")
    click.echo(results.overhead.to_string(index=False))
    if warning := busy_machine(results.overhead):
        click.echo(warning, err=True)


def busy_machine(overheads: "pd.DataFrame") -> str:
    """Return a warning if intervals of latencies say that other work disturbed the measurement; else nothing."""
    width = (overheads.latency_ratio_ci_high - overheads.latency_ratio_ci_low) / overheads.latency_ratio
    wide = overheads[width > BUSY]
    if wide.empty:
        return ""
    named = ", ".join(f"{row['scheme']} on {row['model']}" for row in wide.to_dict("records"))
    return (
        f"warning: the machine was busy: the intervals of {len(wide)} latencies are wider than {100 * BUSY:g}% of them "
        f"({named}); draw no conclusion from these, and measure again with another -o"
    )


def _show_memory(campaign: Campaign) -> None:
    TextTable(COLUMNS, list(_memory_rows(campaign))).show()
    click.echo("overhead: bounds in per cent of parameters, both words of the same format")


def _memory_rows(campaign: Campaign) -> Iterator[tuple[str, ...]]:
    """Yield a row for each network and each of its schemes that stores bounds."""
    from faultbench.runner.subjects.components import build_components
    from faultbench.runner.subjects.overhead import count_parameters

    networks = dict.fromkeys((subject.dataset, subject.model) for subject in campaign.subjects)
    for dataset, model in networks:
        built = [build_components(s) for s in campaign.subjects if (s.dataset, s.model) == (dataset, model)]
        counts = {
            parts.subject.scheme: (count_parameters(network, parts.codec), len(network.sites))
            for parts in built
            for network in [parts.untrained_network]
        }
        reference = next((words.n_bounds for scheme, (words, _) in counts.items() if scheme.name == REFERENCE), 0)
        for scheme, (words, n_sites) in counts.items():
            if words.n_bounds:
                yield (dataset.label, model.label, *_memory_fields(scheme.label, words, n_sites, reference))


def _memory_fields(label: str, words: "ParameterCount", n_sites: int, reference: int) -> tuple[str, ...]:
    """Return the fields of a row after its network; reference is the number of bounds to compare with, 0 for none."""
    return (
        f"{words.n_parameters:,}", str(n_sites), label,
        f"{words.n_bounds:,}", f"{100 * words.n_bounds / words.n_parameters:.3g} %",
        f"{words.n_bounds / reference:.4g}" if reference else "",
    )  # fmt: skip
