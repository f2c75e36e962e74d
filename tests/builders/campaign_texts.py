"""Builders of small campaign texts, and of additional plug-ins with options that the real ones do not have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from faultbench.campaign import CampaignError, parse_campaign
from faultbench.plugins import registry
from faultbench.plugins.registry import PluginDeclaration, PluginOption

SMALL = """\
name: small
datasets: [digits]
models: [digits_cnn]
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 3
"""

SOURCE = Path("small.yaml")

TINY = """\
name: tiny
datasets: [digits]
models: [{name: digits_cnn, weights: w.safetensors}]
schemes: [relu]
bers: [1e-5]
images: 20
trials: 100
"""
"""Campaign with one cell of a trained network."""

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "campaigns" / "ci_small.safetensors"


def write_tiny(folder: Path) -> Path:
    """Write tiny.yaml and its weights into a folder, and return the folder."""
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (folder / "w.safetensors").write_bytes(WEIGHTS.read_bytes())
    return folder


def small(**replaced: str) -> str:
    """Return SMALL with some keys replaced or added. An empty value removes the key."""
    lines = dict(line.split(": ", 1) for line in SMALL.splitlines())
    return "".join(f"{key}: {value}\n" for key, value in {**lines, **replaced}.items() if value)


def problems(text: str, *overrides: str, source: Path = SOURCE) -> list[str]:
    """Return the lines of the error that a campaign raises; none if the campaign is correct."""
    try:
        parse_campaign(text, source, overrides)
    except CampaignError as error:
        return str(error).splitlines()
    return []


@contextmanager
def more_plug_ins() -> Iterator[None]:
    """Add a data set, a network and a scheme with options of every type to the registry inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        real = registry.catalogue
        patch.setattr(registry, "catalogue", lambda kind, modules=(): {**real(kind, modules), **_MORE.get(kind, {})})
        yield


def _entry(kind: str, name: str, **options: tuple[Any, Any]) -> PluginDeclaration:
    return PluginDeclaration(
        kind, name, f"A {kind} for tests.", "", "", {key: PluginOption(*option) for key, option in options.items()}
    )


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
