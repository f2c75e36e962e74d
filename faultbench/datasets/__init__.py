"""Labelled images in three parts: one to train on, one to calibrate on, one to report."""

from faultbench.datasets.images import Augment, Dataset, Images, Splits

__all__ = ["Augment", "Dataset", "Images", "Splits"]
