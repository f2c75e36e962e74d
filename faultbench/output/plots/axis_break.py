"""Break in a log axis: places left of it have no distance that the scale could show."""

from matplotlib.axes import Axes

from faultbench.output.scheme_styles import GREY


def draw_break(axes: Axes, place: float) -> None:
    """Draw two slanted strokes across a gap in the bottom line, at a place between 0 and 1."""
    axes.plot(
        [place - 0.008, place + 0.008],
        [0, 0],
        transform=axes.transAxes,
        clip_on=False,
        zorder=5,
        color="white",
        linewidth=2.5,
        marker=[(-0.4, -1), (0.4, 1)],
        markersize=6,
        markeredgecolor=GREY,
        markeredgewidth=0.6,
    )
