"""The map of a pilot: how much harm a flip does, by where it is and which way it goes."""

from matplotlib.figure import Figure

from faultbench.output.plots.attribution import draw_maps
from faultbench.results.analysis.flip_harm import EXCLUDED
from faultbench.results.analysis.harm_map import span
from faultbench.results.analysis.hazard_map import hazard_maps
from faultbench.results.analysis.results import Results


def draw(results: Results) -> Figure | None:
    """A panel a protected network; None of a campaign of plain trials, which has no pilot."""
    found = hazard_maps(results)
    n_flips = [n_probed for block in found for one in block.maps for n_probed in one.n_counted]
    if not found:
        return None
    confidence = f"{100 * results.manifest.rule.confidence:g}%"
    return draw_maps(
        found,
        f"Harm: the share of the images that a flip alone turns or ruins, in the mean over those that a pilot tried, "
        f"{span(n_flips)} flips a network. The upper half of a row is for flips 0→1, the lower for 1→0; a layer's name "
        f"stands for its weights. Coloured where some did harm; grey where none did and the {confidence} interval of "
        f"how many would ends by {100 * EXCLUDED:g}%; hatched where too few were tried; white where there is no such "
        "memory.",
    )
