"""Results of runs: journal, manifest, statistics and analysis."""
