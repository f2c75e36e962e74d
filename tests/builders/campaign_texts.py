"""A small campaign as text, ways to change it, and plug-ins beyond the real ones for what those cannot show."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from faultbench.campaign import CampaignError, parse_campaign
from faultbench.plugins import registry
from faultbench.plugins.registry import Entry, Option

SMALL = """\
name: small
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 3
"""

SOURCE = Path("small.yaml")


def small(**replaced: str) -> str:
    """SMALL with the values of some keys replaced, or with more keys; an empty value drops the key."""
    lines = dict(line.split(": ", 1) for line in SMALL.splitlines())
    return "".join(f"{key}: {value}\n" for key, value in {**lines, **replaced}.items() if value)


def problems(text: str, *overrides: str, source: Path = SOURCE) -> list[str]:
    """The lines of the error that a campaign raises; none if it is right."""
    try:
        parse_campaign(text, source, overrides)
    except CampaignError as error:
        return str(error).splitlines()
    return []


@contextmanager
def more_plug_ins() -> Iterator[None]:
    """The registry with a data set, a network and a scheme more, which have options of every type."""
    with pytest.MonkeyPatch.context() as patch:
        real = registry.catalogue
        patch.setattr(registry, "catalogue", lambda kind, modules=(): {**real(kind, modules), **_MORE.get(kind, {})})
        yield


def _entry(kind: str, name: str, **options: tuple[Any, Any]) -> Entry:
    return Entry(kind, name, f"A {kind} for tests.", "", "", {key: Option(*option) for key, option in options.items()})


_MORE = {
    "dataset": {"shapes": _entry("dataset", "shapes", size=(int, 8))},
    "model": {"zoo:<name>": _entry("model", "zoo:<name>")},
    "scheme": {
        "knobs": _entry(
            "scheme",
            "knobs",
            bits=(Annotated[int, Field(ge=1, le=8)], 4),
            gain=(float, 1),
            enabled=(bool, False),
            rates=(tuple[float, ...], (0.1, 0.2)),
            deploy=(Literal["smooth", "hard"], "smooth"),
            limit=(float | Literal["auto"], "auto"),
            layers=(list[str] | None, None),
        )
    },
}
