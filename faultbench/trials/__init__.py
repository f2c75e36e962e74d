"""Trials of a network: inject flips, run the images, and compare each with the golden run."""
