"""Fault models, one per file: which bits of memory a trial flips."""
