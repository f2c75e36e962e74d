"""Arguments and options that several verbs share."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from faultbench.campaign import Campaign, load_campaign
from faultbench.plugins.modules import PluginModule, find_module
from faultbench.system.errors import FaultbenchError
from faultbench.system.memory_budget import n_bytes
from faultbench.system.progress.reporter import Kind, Reporter, reporter


class _Duration(click.ParamType[float]):
    """A time such as 55m, 4h, 90s or 1h30m → seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds above 0; anything else is a usage error."""
        parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(value))
        hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
        total_s = 3600 * hours + 60 * minutes + seconds
        if not 0 < total_s <= _LONGEST_S:
            self.fail(
                f"{value!r} is no time; write 55m, 4h, 90s or 1h30m, at most {_LONGEST_S // 86400} days", param, ctx
            )
        return float(total_s)


class _Shard(click.ParamType[tuple[int, int]]):
    """I/N → the two numbers."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """1 ≤ I ≤ N; anything else is a usage error."""
        parts = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value))
        number, count = (int(part) for part in parts.groups()) if parts else (0, 0)
        if not 1 <= number <= count:
            self.fail(f"{value!r} is no shard; write 1/4 to 4/4 for the four parts of the work", param, ctx)
        return number, count


_LONGEST_S = 400 * 86400
"""A timer of the operating system takes no more than some years."""

_ALLOW_OUTSIDE = "faultbench.allow_outside"

DURATION, SHARD = _Duration(), _Shard()


def campaign_arguments(verb: Any) -> Any:
    """The campaign file, `-s key=value` to override its keys, and leave to read files outside of its folder."""
    overrides = click.option(
        "-s", "overrides", metavar="KEY=VALUE", multiple=True, help="Override one key; may be repeated."
    )
    outside = click.option(
        "--allow-outside",
        is_flag=True,
        expose_value=False,
        callback=_noted,
        help="Let the campaign name files outside of its folder.",
    )
    return click.argument("file", metavar="CAMPAIGN", type=click.Path(path_type=Path))(overrides(outside(verb)))


def _noted(context: click.Context, _option: click.Parameter, given: bool) -> None:
    context.meta[_ALLOW_OUTSIDE] = given


def read_campaign(file: Path, overrides: tuple[str, ...]) -> Campaign:
    """The campaign of a verb with `campaign_arguments`."""
    return load_campaign(file, overrides, allow_outside=click.get_current_context().meta[_ALLOW_OUTSIDE])


def plugins_flag(verb: Any) -> Any:
    """`--plugins`, for verbs that run the plug-ins' code: a campaign file alone shall make nobody run code."""
    return click.option(
        "--plugins", "with_plugins", is_flag=True, help="Let the campaign's plug-ins run; their code has your rights."
    )(verb)


def runnable_campaign(file: Path, overrides: tuple[str, ...], *, with_plugins: bool) -> Campaign:
    """The campaign; FaultbenchError when it names plug-ins and the command line does not confirm them."""
    campaign = read_campaign(file, overrides)
    confirm_plugins(campaign, file, with_plugins=with_plugins)
    return campaign


def confirm_plugins(campaign: Campaign, where: Path, *, with_plugins: bool) -> None:
    """FaultbenchError when the campaign at where names plug-ins and the command line does not confirm them."""
    if campaign.plugins and not with_plugins:
        named = ", ".join(f"{module.name} ({module.file})" for module in campaign.plugins)
        raise FaultbenchError(
            f"{click.format_filename(where)}: plugins: {named} would run with your rights; "
            "add --plugins to the command if you trust them"
        )


def data_option(verb: Any) -> Any:
    """`--data-dir`, the same as FAULTBENCH_DATA in the environment, from which worker processes take it too."""
    return click.option(
        "--data-dir",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="FAULTBENCH_DATA",
        expose_value=False,
        callback=_set_data_folder,
        help="Where data sets are and are downloaded to; default: $FAULTBENCH_DATA, or ~/.cache/faultbench.",
    )(verb)


def _set_data_folder(_context: click.Context, _option: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        os.environ["FAULTBENCH_DATA"] = str(folder.expanduser().absolute())


def module_option(verb: Any) -> Any:
    """`--plugins MODULE`, for verbs that have no campaign to name them."""
    return click.option(
        "--plugins",
        "modules",
        metavar="MODULE",
        multiple=True,
        callback=_found,
        help="Include the plug-ins of this module; may be repeated. They are read, not run.",
    )(verb)


def _found(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[PluginModule, ...]:
    return tuple(find_module(name, Path.cwd()) for name in names)


def output_option(verb: Any) -> Any:
    """`-o`, the folder that holds one results folder a campaign."""
    return click.option(
        "-o",
        "--output",
        "root",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("results"),
        show_default=True,
        help="Folder that holds one results folder a campaign.",
    )(verb)


def progress_option(verb: Any) -> Any:
    """`--progress`, how stderr tells how far the work is; gives the verb a reporter."""
    return click.option(
        "--progress",
        "shown",
        type=click.Choice(["rich", "plain", "json"]),
        callback=_reporter,
        help="A live view, lines, or an event a line for programs; default: rich on a terminal, else plain.",
    )(verb)


def _reporter(_context: click.Context, _option: click.Parameter, kind: Kind | None) -> Reporter:
    if kind == "json":
        os.environ.setdefault("TQDM_DISABLE", "1")  # torchvision's bars of downloads are no events
    return reporter(kind, is_terminal=sys.stderr.isatty())


def workers_option(verb: Any) -> Any:
    """`--workers`."""
    told = "Worker processes; default: one a core, two on a card."
    return click.option("--workers", "n_workers", type=click.IntRange(min=1), help=told)(verb)


def memory_option(verb: Any) -> Any:
    """`--memory`, what each worker may keep of golden runs; it changes speed, never a result."""
    return click.option(
        "--memory",
        "memory_bytes",
        metavar="SIZE",
        callback=_bytes,
        help="Memory for golden runs that each worker may keep, such as 2G; default: a quarter of all, 2G at most.",
    )(verb)


def _bytes(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else n_bytes(text)
    except ValueError as error:
        raise FaultbenchError(f"--memory: {error}") from error
