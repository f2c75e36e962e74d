"""Replay of a stored trial: its flips, the damage that they do at each site, and the images whose class they change."""
