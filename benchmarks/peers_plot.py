"""The figure of peers.csv: time of a trial in units of an inference, ours and the other tools', against the BER."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLES = {
    "dense": ("deep copy + dense mask", "#999999", "s"),
    "pytorchfi": ("PyTorchFI 0.6.0", "#E69F00", "^"),
    "mrfi": ("MRFI 2.1.0", "#CC79A7", "v"),
    "trial": ("faultbench", "#0072B2", "o"),
}


def draw(rows: Sequence[Mapping[str, Any]], folder: Path, note: str) -> None:
    """peers.png and peers.svg: a column a network, a row a format."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    formats = list(dict.fromkeys(row["format"] for row in rows))
    figure = Figure(figsize=(2.6 * len(networks) + 1, 2.3 * len(formats) + 1.2), layout="constrained")
    panels = figure.subplots(len(formats), len(networks), sharex=True, sharey=True, squeeze=False)
    for line, format_name in zip(panels, formats, strict=True):
        for axes, network in zip(line, networks, strict=True):
            _panel(axes, [row for row in rows if (row["network"], row["format"]) == (network, format_name)])
            axes.set_title(f"{network}, {format_name}", fontsize=9)
        line[0].set_ylabel("time of a trial\n(inferences)")
    for axes in panels[-1]:
        axes.set_xlabel("bit error rate")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.text(0.5, -0.02, note, ha="center", va="top", fontsize=6, color="#555555")
    with mpl.rc_context({"svg.hashsalt": "peers"}):
        for suffix in ("png", "svg"):
            metadata = {"Date": None} if suffix == "svg" else {}
            figure.savefig(folder / f"peers.{suffix}", dpi=150, bbox_inches="tight", metadata=metadata)
            print(f"wrote {folder / f'peers.{suffix}'}")


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    for name, (label, colour, marker) in STYLES.items():
        points = [(float(row["ber"]), row[f"{name}_ratio"]) for row in rows if row[f"{name}_ratio"] != ""]
        if points:
            axes.plot(*zip(*points, strict=True), marker=marker, markersize=4, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(visible=True, which="major", linewidth=0.3)
