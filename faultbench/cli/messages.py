"""Messages on stderr: plain lines, or events for programs that ask for them."""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from faultbench.system.progress.reporter import Sort

_STARTED_S = time.perf_counter()


def wants_events(words: Sequence[str]) -> bool:
    """Return whether a command line says `--progress json`."""
    return "--progress=json" in words or ("--progress", "json") in pairwise(words)


def emit_event(message: str, sort: Sort, **fields: Any) -> None:
    """Write an event `said` to stderr; its time counts from the start of the command."""
    from faultbench.system.progress.json_reporter import JsonReporter

    JsonReporter(started_s=_STARTED_S).emit("said", sort=sort, message=message, **fields)


def warn(message: str, words: Sequence[str]) -> None:
    """Write a warning to stderr, in the form that the command line asks for."""
    if wants_events(words):
        emit_event(message, "warning")
    else:
        click.echo(message, err=True)
