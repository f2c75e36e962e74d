"""Progress of long work: on a terminal, as lines of a log, and as events."""
