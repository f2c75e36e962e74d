"""Readers of weight files from any source; nothing that a file names is run."""
