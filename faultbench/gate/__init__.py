"""The gate of continuous integration: a run held against a committed one, fault by fault. Imports no torch."""
