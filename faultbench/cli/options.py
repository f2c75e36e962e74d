"""Arguments and options that several verbs share."""

import gc
import os
from pathlib import Path
from typing import Any

import click

from faultbench.campaign import Campaign, load_campaign
from faultbench.errors import FaultbenchError
from faultbench.memory import n_bytes
from faultbench.plugin_modules import PluginModule, find_module


def campaign_arguments(verb: Any) -> Any:
    """The campaign file, and `-s key=value` to override its keys."""
    overrides = click.option(
        "-s", "overrides", metavar="KEY=VALUE", multiple=True, help="Override one key; may be repeated."
    )
    return click.argument("file", metavar="CAMPAIGN", type=click.Path(path_type=Path))(overrides(verb))


def plugins_flag(verb: Any) -> Any:
    """`--plugins`, for verbs that run the plug-ins' code: a campaign file alone shall make nobody run code."""
    return click.option(
        "--plugins", "with_plugins", is_flag=True, help="Let the campaign's plug-ins run; their code has your rights."
    )(verb)


def runnable_campaign(file: Path, overrides: tuple[str, ...], *, with_plugins: bool) -> Campaign:
    """The campaign; FaultbenchError when it names plug-ins and the command line does not confirm them."""
    campaign = load_campaign(file, overrides)
    if campaign.plugins and not with_plugins:
        named = ", ".join(f"{module.name} ({module.file})" for module in campaign.plugins)
        raise FaultbenchError(
            f"{click.format_filename(file)}: plugins: {named} would run with your rights; "
            "add --plugins to the command if you trust them"
        )
    return campaign


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


def collect_garbage_seldom() -> None:
    """For verbs that read results: rows and figures live until the end; looking for garbage as usual costs a sixth."""
    gc.set_threshold(100_000)
