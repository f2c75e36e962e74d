"""Plug-ins: the meaning of names in a campaign file. They are found in source files and built by name."""
