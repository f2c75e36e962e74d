"""Contact sheet of images: small pictures in rows, with a caption below each."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced

MOST = 100
"""Most images on a sheet."""
N_COLUMNS = 10
SIDE_IN = 0.9
CAPTION_IN = 0.35
DPI = 150


def save_sheet(path: Path, pixels: NDArray[np.float32], captions: Sequence[str]) -> None:
    """Write the images, [n, 1 or 3 channels, height, width] in 0..1, as PNG, n from 1 to MOST.

    FaultbenchError for other numbers of channels, EngineError if the disk refuses.
    """
    if pixels.shape[1] not in (1, 3):
        raise FaultbenchError(f"--images: images of {pixels.shape[1]} channels cannot be shown; 1 and 3 can")
    n_columns = min(N_COLUMNS, len(pixels))
    n_rows = math.ceil(len(pixels) / n_columns)
    figure = Figure(figsize=(SIDE_IN * max(n_columns, 3), (SIDE_IN + CAPTION_IN) * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    for axes in (grid := figure.subplots(n_rows, n_columns, squeeze=False)).flat:
        axes.set_axis_off()
    for axes, image, caption in zip(grid.flat, pixels, captions, strict=False):
        shown = np.clip(image.transpose(1, 2, 0), 0, 1)
        axes.imshow(shown[:, :, 0] if shown.shape[2] == 1 else shown, cmap="gray", vmin=0, vmax=1)
        axes.set_title(caption, fontsize=6, y=0, va="top", pad=-2)
    with replaced(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
