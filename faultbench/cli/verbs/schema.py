"""`faultbench schema`: print the JSON Schema of campaign files, for editors."""

import json

import click

from faultbench.campaign.json_schema import json_schema
from faultbench.cli.options import module_option
from faultbench.cli.verb import Section, verb
from faultbench.plugins.registry import Modules


@verb("schema", Section.INSPECT)
@module_option
def command(modules: Modules) -> None:
    """Print the JSON Schema of campaign files.

    It has the names and options of all plug-ins, and editors use it to complete and check campaign files.
    """
    click.echo(json.dumps(json_schema(modules), indent=2))
