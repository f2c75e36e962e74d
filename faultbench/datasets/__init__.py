"""Labelled images in three parts: one to train on, one to calibrate on, one to report."""

from faultbench.datasets.images import Augment, Counted, Dataset, Images, Splits

__all__ = ["Augment", "Counted", "Dataset", "Images", "Splits"]
