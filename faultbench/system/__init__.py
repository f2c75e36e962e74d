"""Code that would serve any program, such as errors, files, processes and terminals. It knows nothing of faults."""
