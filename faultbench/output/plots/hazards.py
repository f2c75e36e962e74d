"""Plot of a pilot's map: how much harm a flip does, by layer, bit and direction."""

from matplotlib.figure import Figure

from faultbench.output.captions import shared_count
from faultbench.output.plots.attribution import draw_maps
from faultbench.results.analysis.hazard_map import SMALL_SHARE, hazard_maps
from faultbench.results.analysis.results import Results


def draw(results: Results) -> Figure | None:
    """Draw a panel per protected network; return None for a campaign of plain trials, which has no pilot."""
    maps = hazard_maps(results)
    if not maps:
        return None
    n_flips = shared_count(n_flips for block in maps for line_map in block.maps for n_flips in line_map.n_counted)
    confidence = f"{100 * results.manifest.rule.confidence:g}%"
    return draw_maps(
        maps,
        f"Harm: the share of the images that a flip alone turns or ruins, in the mean over those that a pilot tried, "
        f"{n_flips} flips per network. The upper half of a row is for flips 0→1, the lower for 1→0; a layer's name "
        f"stands for its weights. Coloured where some did harm; grey where none did and the {confidence} interval of "
        f"how many would ends by {100 * SMALL_SHARE:g}%; hatched where too few were tried; white where there is no "
        "such memory.",
        name="Harm\n(%)",
    )
