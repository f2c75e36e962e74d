"""The `faultbench` command: finds its verbs by name and turns errors into one line and an exit code."""

import importlib
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import click

from faultbench import __version__
from faultbench.plugins.registry import suggest
from faultbench.system.errors import FaultbenchError, Interrupted

_STARTED_S = time.perf_counter()
_VERBS = Path(__file__).parent / "verbs"


class Verbs(click.Group):
    """Imports a verb's file only when the verb is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Every file of the folder of verbs is one."""
        return sorted(path.stem for path in _VERBS.glob("*.py") if path.stem != "__init__")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's `command`; FaultbenchError with a suggestion for an unknown one."""
        verbs = self.list_commands(ctx)
        if cmd_name not in verbs:
            if ctx.resilient_parsing:
                return None  # a shell that completes a word wants no message
            raise FaultbenchError(f"unknown command {suggest(cmd_name, dict.fromkeys(verbs))}; see `faultbench --help`")
        return importlib.import_module(f"faultbench.cli.verbs.{cmd_name}").command  # type: ignore[no-any-return]


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="faultbench")
def faultbench() -> None:
    """Benchmark how neural networks, and the schemes that protect them, survive bit flips in weight memory.

    --debug anywhere on the line shows the traceback of an error.
    """


def main() -> None:
    """Entry point: errors are one line on stderr, and the exit code says what kind they are."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    sys.exit(_exit_code(arguments, debug=len(arguments) < len(sys.argv) - 1))


def _exit_code(arguments: list[str], *, debug: bool) -> int:
    try:
        result = faultbench.main(arguments, prog_name="faultbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        asked.show()
        return asked.exit_code
    except click.UsageError as error:
        verb = error.ctx.command_path if error.ctx else "faultbench"
        click.echo(f"{verb}: {error.format_message().rstrip('.')}; see `{verb} --help`", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _explained(Interrupted("interrupted; run the same command again to go on"), arguments, debug=debug)
    except FaultbenchError as error:
        return _explained(error, arguments, debug=debug)
    return result if isinstance(result, int) else 0  # --help and --version give 0, a verb may give another


def _explained(error: FaultbenchError, arguments: Sequence[str], *, debug: bool) -> int:
    if debug:
        raise error
    if _wants_events(arguments):
        from faultbench.system.progress.events import Events

        Events(started_s=_STARTED_S).emit("said", sort="error", message=str(error), exit_code=error.exit_code)
    from faultbench.campaign import CampaignError

    # A campaign's problems begin with file:line:column, which editors recognise at the start of a line only.
    prefix = "" if isinstance(error, CampaignError) else "faultbench: "
    for line in str(error).splitlines():
        click.echo(f"{prefix}{line}", err=True)
    return error.exit_code


def _wants_events(arguments: Sequence[str]) -> bool:
    return "--progress=json" in arguments or ("--progress", "json") in pairwise(arguments)
