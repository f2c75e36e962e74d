"""`faultbench schema`: the JSON Schema of campaign files, for editors."""

import json

import click

from faultbench.campaign.schema import json_schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of campaign files, with the names and options of all plug-ins."""
    click.echo(json.dumps(json_schema(), indent=2))
