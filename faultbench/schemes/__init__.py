"""Activation schemes, one file each: how each finds its bounds and what it puts at the sites."""
