"""Arguments and options that several verbs share, one decorator each."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from faultbench.campaign import Campaign, load_campaign
from faultbench.plugins.modules import PluginModule, find_module
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import Kind, Reporter, reporter

Function = TypeVar("Function", bound=Callable[..., Any])

NOT_LOOKED_AT = (
    "Not checked: whether the networks can be built for these images, whether weights fit them, and the images. "
    "`faultbench plan` without --no-timing builds the networks and reads the weights; `faultbench run` reads the "
    "images before it trains or fits anything."
)
"""Remark of a verb that builds no network."""

_ALLOW_OUTSIDE = "faultbench.allow_outside"


def in_order(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Return a decorator that adds options, which the help lists in this order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _keep_leave(context: click.Context, _option: click.Parameter, is_allowed: bool) -> None:
    context.meta[_ALLOW_OUTSIDE] = is_allowed


campaign_arguments = in_order(
    click.argument("file", metavar="CAMPAIGN", type=click.Path(path_type=Path)),
    click.option(
        "-s",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Override one key of the campaign file. May be repeated.",
    ),
    click.option(
        "--allow-outside",
        is_flag=True,
        expose_value=False,
        callback=_keep_leave,
        help="Let the campaign name files outside its folder.",
    ),
)
"""Decorator that adds the campaign file, `-s KEY=VALUE`, and `--allow-outside`."""


def read_campaign(file: Path, overrides: tuple[str, ...]) -> Campaign:
    """Return the campaign of a verb with `campaign_arguments`."""
    return load_campaign(file, overrides, allow_outside=is_allowed_outside())


def is_allowed_outside() -> bool:
    """Return whether the command line of a verb with `campaign_arguments` says `--allow-outside`."""
    return bool(click.get_current_context().meta[_ALLOW_OUTSIDE])


def trust_option(function: Function) -> Function:
    """Add `--trust-plugins`: without it a campaign file makes nobody run code."""
    return click.option(
        "--trust-plugins",
        "with_plugins",
        is_flag=True,
        help="Run the campaign's plug-ins. Their code has your rights.",
    )(function)


def runnable_campaign(file: Path, overrides: tuple[str, ...], *, with_plugins: bool) -> Campaign:
    """Return the campaign; raise FaultbenchError if it names plug-ins that the command line does not trust."""
    campaign = read_campaign(file, overrides)
    confirm_plugins(campaign, file, with_plugins=with_plugins)
    return campaign


def confirm_plugins(campaign: Campaign, where: Path, *, with_plugins: bool) -> None:
    """Raise FaultbenchError if the campaign at `where` names plug-ins that the command line does not trust."""
    if campaign.plugins and not with_plugins:
        named = ", ".join(f"{module.name} ({module.file})" for module in campaign.plugins)
        raise FaultbenchError(
            f"{click.format_filename(where)}: plugins: {named} would run with your rights; "
            "add --trust-plugins to the command if you trust them"
        )


def data_option(function: Function) -> Function:
    """Add `--data-dir`, which sets FAULTBENCH_DATA in the environment, where worker processes find it too."""
    return click.option(
        "--data-dir",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="FAULTBENCH_DATA",
        expose_value=False,
        callback=_set_data_folder,
        help="Read data sets from DIR, and download them to it. [default: $FAULTBENCH_DATA, or ~/.cache/faultbench]",
    )(function)


def _set_data_folder(_context: click.Context, _option: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        try:
            os.environ["FAULTBENCH_DATA"] = str(folder.expanduser().absolute())
        except RuntimeError as error:  # pathlib raises it for an unknown user
            raise FaultbenchError(f"--data-dir {folder}: {error}; give the path without ~") from error


def module_option(function: Function) -> Function:
    """Add `--plugin MODULE`, for verbs that read no campaign."""
    return click.option(
        "--plugin",
        "modules",
        metavar="MODULE",
        multiple=True,
        callback=_find_modules,
        help="Include the plug-ins of this module, which is read and not run. May be repeated.",
    )(function)


def _find_modules(
    _context: click.Context, _option: click.Parameter, names: tuple[str, ...]
) -> tuple[PluginModule, ...]:
    return tuple(find_module(name, Path.cwd()) for name in names)


def output_option(function: Function) -> Function:
    """Add `-o`, the folder that holds one results folder per campaign."""
    return click.option(
        "-o",
        "--output",
        "root",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("results"),
        show_default=True,
        callback=_folder,
        help="Keep results in DIR, one folder per campaign.",
    )(function)


def _folder(_context: click.Context, _option: click.Parameter, root: Path) -> Path:
    if root.exists() and not root.is_dir():  # click takes devices and pipes for neither files nor folders
        raise FaultbenchError(f"-o {root}: is no folder; give one, or the name of a new one")
    return root


def progress_option(*kinds: Kind) -> Callable[[Function], Function]:
    """Return a decorator that adds `--progress` with these kinds; the verb gets a reporter as `shown`."""
    forms = "a live view, as plain lines, or as JSON events" if "json" in kinds else "a live view or as plain lines"
    return click.option(
        "--progress",
        "shown",
        type=click.Choice(kinds),
        callback=_reporter,
        help=f"Show progress as {forms}. [default: rich on a terminal, else plain]",
    )


def _reporter(_context: click.Context, _option: click.Parameter, kind: Kind | None) -> Reporter:
    if kind == "json":
        os.environ.setdefault("TQDM_DISABLE", "1")  # torchvision's download bars are no events
    return reporter(kind, is_terminal=sys.stderr.isatty())
