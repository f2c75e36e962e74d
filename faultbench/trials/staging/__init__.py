"""Runs that begin where their first fault is felt, from values kept of the golden run."""
