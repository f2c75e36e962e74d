"""Style of every plot, its fonts and sizes, and writing of figures to files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path

from faultbench.output.scheme_styles import GREY
from faultbench.system.files.disk import replaced

COLUMN_IN = 3.5
"""Width of a column of a two-column paper, in inches."""
PAGE_IN = 7.16
"""Width of the text block of a two-column paper, in inches."""

SMALL_PT = 6.5
"""Size of letters of captions and of values beside bars."""

_MOST_PIXELS = 3000
"""Largest side of a picture for screens."""

_RC: dict[Any, Any] = {
    "font.family": ["STIXGeneral", "DejaVu Sans"],  # both come with matplotlib: the same on every machine
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "black",
    "axes.axisbelow": True,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.8,
    "ytick.minor.size": 1.8,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.columnspacing": 1.1,
    "legend.handlelength": 1.7,
    "legend.handletextpad": 0.45,
    "legend.borderaxespad": 0.1,
    "legend.labelspacing": 0.25,
    "savefig.dpi": 300,
    "text.hinting": "none",  # so many pixels need none, and it takes a fifth of the time of a map's picture
    "pdf.fonttype": 42,  # TrueType: publishers refuse the Type 3 fonts of the default
    "svg.hashsalt": "faultbench",  # names of clip paths and markers are random without it
}


def width_in(label: str, size_pt: float = 7.5) -> float:
    """Return the width of a label in the font of the plots, in inches."""
    font = FontProperties(family=_RC["font.family"], size=size_pt)
    width_pt, _, _ = text_to_path.get_text_width_height_descent(label, font, ismath=False)
    return float(width_pt) / 72


def plain(label: str) -> str:
    """Return a label escaped for matplotlib: a dollar sign would start a formula."""
    return label.replace("$", r"\$")


@contextmanager
def styled() -> Iterator[None]:
    """Give figures that are drawn and saved inside this style, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def save(figure: Figure, stem: Path, kinds: Sequence[str] = ("pdf", "svg", "png")) -> list[Path]:
    """Write stem.pdf, stem.svg and stem.png, or those of kinds; return the paths. Equal figures give equal bytes."""
    options: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": {"CreationDate": None}},
        "svg": {"metadata": {"Date": None}},
        "png": {
            "dpi": min(mpl.rcParams["savefig.dpi"], _MOST_PIXELS / max(figure.get_size_inches())),
            "pil_kwargs": {"compress_level": 3},  # half the time of the usual 6 for a tenth more bytes
        },
    }
    if any(axes.get_subplotspec() for axes in figure.axes):  # others are placed already
        ConstrainedLayoutEngine().execute(figure)  # once, for all of them
    _pin_axis_labels(figure)
    paths = []
    for kind in kinds:
        path = stem.with_name(f"{stem.name}.{kind}")
        with replaced(path) as temporary:
            figure.savefig(temporary, format=kind, **options[kind])
        paths.append(path)
    return paths


def _pin_axis_labels(figure: Figure) -> None:
    """Fix the labels of the axes clear of the labels of ticks, which each file would measure anew otherwise."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]  # matplotlib leaves it so
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.label.get_text():
                axis.get_tightbbox(renderer)  # moves the axis label
            place = axis.label.get_transform().transform(axis.label.get_position())
            axis.set_label_coords(*axes.transAxes.inverted().transform(place))
