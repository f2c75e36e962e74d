"""Data sets: labelled images in three parts, for training, for calibration and for reported accuracies."""

from faultbench.datasets.images import (
    Augment,
    Dataset,
    Images,
    SizedDataset,
    Splits,
    hold_out,
    mirror_randomly,
    shift_randomly,
    shuffle,
)

__all__ = [
    "Augment",
    "Dataset",
    "Images",
    "SizedDataset",
    "Splits",
    "hold_out",
    "mirror_randomly",
    "shift_randomly",
    "shuffle",
]
