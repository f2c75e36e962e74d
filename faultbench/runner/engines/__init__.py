"""Where work runs: one file an engine."""
