"""Colours and markers of schemes in the report: those of the plots, and lighter colours for dark pages."""

from dataclasses import dataclass

from faultbench.output.scheme_styles import line_looks
from faultbench.results.analysis.blocks import blocks
from faultbench.results.analysis.results import Results

_DARK_LUMINANCE = 0.2
"""Least luminance on a dark page: a darker colour is mixed with white; the contrast is then above 3.5."""

MARKERS = {
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    "s": "M-3.5-3.5h7v7h-7Z",
    "^": "M0-4.6L4.3 3.4H-4.3Z",
    "v": "M0 4.6L4.3-3.4H-4.3Z",
    "<": "M-4.6 0L3.4-4.3V4.3Z",
    ">": "M4.6 0L-3.4-4.3V4.3Z",
    "D": "M0-4.8L4.8 0L0 4.8L-4.8 0Z",
    "P": "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3Z",
    "X": "M-4.4-2.2L-2.2-4.4L0-2.2L2.2-4.4L4.4-2.2L2.2 0L4.4 2.2L2.2 4.4L0 2.2L-2.2 4.4L-4.4 2.2L-2.2 0Z",
    "p": "M0-4.6L4.4-1.4L2.7 3.7H-2.7L-4.4-1.4Z",
    "h": "M0-4.6L4-2.3V2.3L0 4.6L-4 2.3V-2.3Z",
    "*": "M0-5.6L1.5-1.9L5.4-1.7L2.3 0.8L3.3 4.6L0 2.5L-3.3 4.6L-2.3 0.8L-5.4-1.7L-1.5-1.9Z",
}
"""Name of a marker in matplotlib → SVG path of about the same size."""


@dataclass(frozen=True)
class Colour:
    """Colour, marker and dashes of a line; index names its CSS variable, dashes is an SVG dash array."""

    index: int
    light: str
    dark: str
    marker: str
    dashes: str


def colours(results: Results) -> dict[str, Colour]:
    """Return label of a line → its colour; guards of a scheme share its colour and differ in dashes."""
    lines = [line for block in blocks(results) for line in block.lines]
    by_label = {}
    for index, (label, look) in enumerate(line_looks(lines, results.manifest.scheme_names).items()):
        dashes = " ".join(f"{2 * length:g}" for length in look.dashes)
        by_label[label] = Colour(index, look.colour, lightened(look.colour), MARKERS[look.marker], dashes)
    return by_label


def lightened(colour: str) -> str:
    """Return the colour, #rrggbb, mixed with as little white as makes it bright enough for a dark page."""
    channels = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    for percent in range(0, 101, 5):
        mixed = [round(channel + (255 - channel) * percent / 100) for channel in channels]
        if luminance(mixed) >= _DARK_LUMINANCE:
            break
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def luminance(channels: list[int]) -> float:
    """Return the relative luminance (WCAG 2.2) of sRGB channels in 0..255."""
    linear = [c / 12.92 if (c := channel / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
