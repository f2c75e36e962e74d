"""`faultbench schema`: the JSON Schema of campaign files, for editors."""

import json

import click

from faultbench.campaign.choices import Modules
from faultbench.campaign.json_schema import json_schema
from faultbench.cli.options import module_option


@click.command("schema")
@module_option
def command(modules: Modules) -> None:
    """Print the JSON Schema of campaign files, with the names and options of all plug-ins."""
    click.echo(json.dumps(json_schema(modules), indent=2))
