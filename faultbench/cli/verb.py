"""Base of all verbs: a section in the help, old spellings of options, and one object that holds the options."""

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

import click

from faultbench.cli.messages import warn
from faultbench.cli.old_spellings import current_spelling

Options = TypeVar("Options")
Result = TypeVar("Result")


class Section(Enum):
    """Heading of `faultbench --help` that lists a verb."""

    RUN = "Run campaigns"
    LOOK = "Look at results"
    CHECK = "Check campaigns, networks and this machine"
    INSPECT = "Inspect plug-ins and single trials"


class Verb(click.Command):
    """Command of one verb."""

    def __init__(self, *arguments: Any, section: Section, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.section = section

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words of the command line, old spellings of options among them."""
        spelling = current_spelling(self, args)
        if not ctx.resilient_parsing:
            for old, new in spelling.replaced.items():
                warn(f"deprecated: {old}; write {new}", spelling.words)
        return super().parse_args(ctx, spelling.words)


def verb(name: str, section: Section) -> Callable[[Callable[..., Any]], Verb]:
    """Return a decorator that makes a function the command of a verb."""
    return click.command(name, cls=Verb, section=section)


def takes(options: Callable[..., Options]) -> Callable[[Callable[[Options], Result]], Callable[..., Result]]:
    """Return a decorator for a function of one `options` object, which click's values are put into."""

    def decorate(function: Callable[[Options], Result]) -> Callable[..., Result]:
        @wraps(function)
        def command(**values: Any) -> Result:
            return function(options(**values))

        return command

    return decorate
