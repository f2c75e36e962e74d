"""Staged runs: they begin at their first fault, from values kept of the golden run."""
