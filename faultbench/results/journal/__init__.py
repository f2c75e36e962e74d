"""Journal of a results folder: records of trials, appended line by line to one file per writer."""
