"""The `faultbench` command: finds its verbs by name and turns errors into one line and an exit code."""

import importlib
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

from faultbench import __version__
from faultbench.cli.messages import emit_event, wants_events
from faultbench.cli.verb import Section
from faultbench.plugins.registry import suggest
from faultbench.system.error_lines import explain
from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import lines, shortened
from faultbench.system.standard_streams import flush, guard

_COMPLETES = "_FAULTBENCH_COMPLETE"


class Verbs(click.Group):
    """Group of commands that imports the file of a verb only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names of the files in `verbs`."""
        return sorted(path.stem for path in (Path(__file__).parent / "verbs").glob("[!_]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb's `command`; raise FaultbenchError with a suggestion for an unknown verb."""
        verbs = self.list_commands(ctx)
        if cmd_name not in verbs:
            if ctx.resilient_parsing:
                return None  # a shell that completes a word wants no message
            raise FaultbenchError(f"unknown command {suggest(cmd_name, dict.fromkeys(verbs))}; see `faultbench --help`")
        return importlib.import_module(f"faultbench.cli.verbs.{cmd_name}").command  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by section, each with the first sentence of its help."""
        verbs = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        room = formatter.width - 6 - max(map(len, verbs))
        for section in Section:
            rows = [
                (name, verb.get_short_help_str(room))
                for name, verb in verbs.items()
                if verb and getattr(verb, "section", None) is section
            ]
            with formatter.section(section.value):
                formatter.write_dl(rows)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="faultbench", help="Show the version and exit.")
def faultbench() -> None:
    """Benchmark how neural networks, and the schemes that protect them, survive bit flips in weight memory.

    `faultbench COMMAND --help` explains a command. --debug anywhere on the line shows the traceback of an error.
    """


def main() -> None:
    """Run the command of `sys.argv` and exit; an error is one line on stderr, and the exit code says its kind."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if not debug:
        _shorten_uncaught_errors()
    try:
        guard()
        code = _exit_code(arguments, debug=debug)
        flush()
    except BaseException as error:  # noqa: BLE001 - the last handler: nothing leaves the program as a traceback
        code = _report(error, arguments, debug=debug)
    sys.exit(code)


def _exit_code(arguments: list[str], *, debug: bool) -> int:
    """Run a command line and return its exit code."""
    try:
        result = faultbench.main(arguments, prog_name="faultbench", standalone_mode=False)
    except SystemExit as ended:
        if _COMPLETES in os.environ:  # click ends like this after it completed words for a shell
            return 2 if ended.code else 0
        return _report(ended, arguments, debug=debug)
    except click.exceptions.NoArgsIsHelpError as asked:
        asked.show()
        return asked.exit_code
    except click.UsageError as error:
        verb = error.ctx.command_path if error.ctx else "faultbench"
        message = shortened(" ".join(error.format_message().split()).rstrip("."))
        click.echo(f"{verb}: {message}; see `{verb} --help`", err=True)
        return error.exit_code
    except click.ClickException as error:  # its own exit code is 1, which belongs to `check`
        return _report(FaultbenchError(error.format_message()), arguments, debug=debug)
    except click.Abort:
        return _report(KeyboardInterrupt(), arguments, debug=debug)
    except (FaultbenchError, KeyboardInterrupt) as error:
        return _report(error, arguments, debug=debug)
    return result if isinstance(result, int) else 0  # --help and --version give 0, a verb may give another


def _report(error: BaseException, arguments: Sequence[str], *, debug: bool) -> int:
    """Print the error that ended the command, and return its exit code."""
    explanation = explain(error)
    if debug:
        traceback.print_exception(error)
        return explanation.exit_code
    try:
        return _print_error(explanation, arguments)
    except BaseException:  # noqa: BLE001 - stderr is gone, so nobody can be told
        return explanation.exit_code


def _shorten_uncaught_errors() -> None:
    """Print one line for each error in a thread or destructor, in place of Python's traceback."""

    def print_line(kind: str, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit | BrokenPipeError):
            click.echo(f"faultbench: {kind}: {explain(error)}", err=True)

    # On import joblib warns if /dev/shm cannot be written; faultbench reports that itself where it matters.
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")
    threading.excepthook = lambda hook: print_line("a thread ended", hook.exc_value)
    sys.unraisablehook = lambda hook: print_line("ignored", hook.exc_value)


def _print_error(error: FaultbenchError, arguments: Sequence[str]) -> int:
    from faultbench.campaign import CampaignError

    # A campaign's problems have a line each; a line break in any other message is part of a file's name.
    message = lines(str(error)) if isinstance(error, CampaignError) else [shortened(str(error))]
    if wants_events(arguments):
        emit_event("\n".join(message), "error", exit_code=error.exit_code)

    # A campaign's problems begin with file:line:column, which editors recognise at the start of a line only.
    prefix = "" if isinstance(error, CampaignError) else "faultbench: "
    for line in message:
        click.echo(f"{prefix}{line}", err=True)
    return error.exit_code
