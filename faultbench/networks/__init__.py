"""Networks of any origin: traced, and held against what a benchmark of classifiers takes for granted."""
